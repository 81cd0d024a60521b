"""What a client sent: kept on disk when it is large, and read as JSON, as multipart or as it came."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import wave
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, cast

import falcon
import msgspec
from falcon.media.multipart import MultipartFormHandler, MultipartParseError

from relay.audio import decode
from relay.errors import RelayError
from relay.testing.sandbox.service import MAX_READ_BYTES, Refusal

MAX_BODY_BYTES = 2 * 1024 * 1024 * 1024
MAX_FIELD_BYTES = 1024 * 1024
MAX_SECONDS = 12 * 3600.0
IN_MEMORY = 1024 * 1024
BLOCK = 256 * 1024


@dataclass
class Upload:
    """One file of a multipart body, on disk until the call has ended."""

    filename: str
    content_type: str
    path: Path
    size: int
    sha256: str

    @cached_property
    def seconds(self) -> float | None:
        """The length of the sound in it as decoded (a WAV: as long as its samples); None when it is no recording."""
        return audio_seconds(self.path)


@dataclass
class Form:
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """The last value of a field."""
        return self.fields[name][-1] if name in self.fields else default


class Body:
    """`size` in bytes and `sha256` (hex) of the whole."""

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type
        self.size = 0
        self._digest = hashlib.sha256()
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed with the call
        self._folder: Path | None = None
        self._form: Form | None = None

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def kind(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()

    def write(self, block: bytes) -> None:
        self.size += len(block)
        check_size(self.size)
        self._digest.update(block)
        self._file.write(block)

    def open(self) -> IO[bytes]:
        self._file.seek(0)
        return self._file

    def json(self) -> Any:
        if self.size > MAX_READ_BYTES:
            raise Refusal(413, f"the sandbox reads JSON of up to {MAX_READ_BYTES} bytes")
        try:
            return msgspec.json.decode(self.open().read())
        except (msgspec.DecodeError, RecursionError) as exc:
            raise Refusal(400, f"the body is not JSON: {exc}") from None

    def form(self) -> Form:
        if self._form is None:
            if self.kind != "multipart/form-data":
                raise Refusal(415, "send the body as multipart/form-data")
            self._folder = Path(tempfile.mkdtemp(prefix="relay-sandbox-"))
            try:
                self._form = self._parts(self._folder)
            except MultipartParseError as exc:
                raise Refusal(400, f"the multipart body is broken: {exc.description}") from None
            except (falcon.HTTPError, UnicodeError) as exc:
                raise Refusal(400, f"the multipart body cannot be read: {exc}") from None
        return self._form

    def _parts(self, folder: Path) -> Form:
        form = Form()
        parts: Any = MultipartFormHandler().deserialize(cast("Any", self.open()), self.content_type, self.size)
        for number, part in enumerate(parts):
            name = part.name or ""
            if part.filename is None:
                value = part.stream.read(MAX_FIELD_BYTES).decode()
                form.fields.setdefault(name, []).append(value)
            else:
                form.files[name] = _keep(part, folder / str(number))
        return form

    def close(self) -> None:
        self._file.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _keep(part: Any, path: Path) -> Upload:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        while block := part.stream.read(BLOCK):
            size += len(block)
            digest.update(block)
            file.write(block)
    return Upload(str(part.filename), str(part.content_type), path, size, digest.hexdigest())


def read_body(stream: BufferedIOBase, headers: Any, body: Body) -> None:
    """Read the request's body into `body`, sent with a length or in chunks. OSError when the client stops half-way."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        _read_chunks(stream, body)
        return
    length = int(headers.get("content-length") or 0)
    check_size(length)
    _copy(stream, length, body)


def check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise Refusal(413, f"the sandbox takes bodies of up to {MAX_BODY_BYTES} bytes")


def _copy(stream: BufferedIOBase, left: int, body: Body) -> None:
    while left > 0:
        block = stream.read(min(left, BLOCK))
        if not block:
            raise ConnectionResetError("the client stopped in the middle of its body")
        left -= len(block)
        body.write(block)


def _read_chunks(stream: BufferedIOBase, body: Body) -> None:
    while True:
        line = stream.readline(1024)
        try:
            length = int(line.partition(b";")[0], 16)
        except ValueError:
            raise ConnectionResetError("the client's chunks cannot be read") from None
        _copy(stream, length, body)
        while stream.readline(8192) not in (b"\r\n", b"\n", b""):  # the end of the chunk, or trailers
            continue
        if length == 0:
            return


def audio_seconds(path: Path) -> float | None:
    """Seconds of sound that can be decoded from a file, None when there are none."""
    with contextlib.suppress(wave.Error, EOFError), wave.open(str(path), "rb") as wav:
        frame, rate = wav.getnchannels() * wav.getsampwidth(), wav.getframerate()
        frames = 0
        while block := wav.readframes(rate):  # the header may lie about the length
            frames += len(block) // frame
        if frames:
            return frames / rate
    with tempfile.TemporaryDirectory(prefix="relay-sandbox-") as folder, contextlib.suppress(RelayError):
        return decode(path, Path(folder) / "samples", max_seconds=MAX_SECONDS).seconds
    return None
