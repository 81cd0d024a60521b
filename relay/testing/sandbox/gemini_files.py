"""Gemini's Files API: resumable uploads, states, and what a request may refer to."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from relay.testing.sandbox.bodies import audio_seconds
from relay.testing.sandbox.gemini_wire import camel, rfc3339
from relay.testing.sandbox.service import Call, Refusal, Reply, json_reply

MAX_FILE_BYTES = 2_000_000_000
MAX_UPLOADS = 100
KEPT = timedelta(hours=48)
NAME = re.compile(r"files/[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass
class Upload:
    """A file on its way. `left` is what is still to come, in bytes."""

    name: str
    display_name: str
    mime_type: str
    size: int
    file: IO[bytes]
    digest: Any = field(default_factory=hashlib.sha256)
    received: int = 0


@dataclass
class File:
    """`polls`: how often it will still be PROCESSING; `seconds`: of sound, None when there is none."""

    name: str
    display_name: str
    mime_type: str
    size: int
    sha256: str
    uri: str
    seconds: float | None
    polls: int
    failed: bool
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def state(self) -> str:
        return "PROCESSING" if self.polls else "FAILED" if self.failed else "ACTIVE"

    def view(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "name": self.name,
            "displayName": self.display_name,
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": rfc3339(self.created),
            "updateTime": rfc3339(self.created),
            "expirationTime": rfc3339(self.created + KEPT),
            "sha256Hash": self.sha256,
            "uri": self.uri,
            "state": self.state,
            "source": "UPLOADED",
        }
        if self.state == "FAILED":
            shown["error"] = {"code": 3, "message": "the file could not be processed"}
        return shown


class Files:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._files: dict[str, File] = {}

    def __iter__(self) -> Any:
        """The names of the files that are there now."""
        with self._lock:
            self._expire()
            return iter(list(self._files))

    def upload(self, call: Call, polls: int) -> Reply:
        """Start, a chunk, or the last one: they come to the same path."""
        command = call.headers.get("x-goog-upload-command", "")
        if command == "start":
            return self._start(call)
        with self._lock:
            upload = self._uploads.get(call.query.get("upload_id", ""))
        if upload is None:
            raise Refusal(404, "there is no such upload")
        return self._chunk(call, upload, polls, final="finalize" in command)

    def _start(self, call: Call) -> Reply:
        wanted = camel(call.json()).get("file") or {}
        size = int(call.headers.get("x-goog-upload-header-content-length", -1))
        mime_type = call.headers.get("x-goog-upload-header-content-type") or wanted.get("mimeType")
        name = wanted.get("name") or f"files/{secrets.token_hex(6)}"
        if call.headers.get("x-goog-upload-protocol") != "resumable" or size < 0 or not mime_type:
            raise Refusal(400, "a resumable upload says its protocol, length and type")
        if not NAME.fullmatch(name) or name in self._files:
            raise Refusal(400, f"{name} cannot be the name of a file")
        if size > MAX_FILE_BYTES:
            raise Refusal(400, "the file is larger than 2 GB")
        ident = secrets.token_urlsafe(16)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the upload is finished or forgotten
        upload = Upload(name, wanted.get("displayName") or "", mime_type, size, file)
        with self._lock:
            if len(self._uploads) >= MAX_UPLOADS:
                raise Refusal(429, "too many uploads at once")
            self._uploads[ident] = upload
        where = f"{call.base_url}{call.path}?upload_id={ident}&upload_protocol=resumable"
        return json_reply({}, headers={"X-Goog-Upload-URL": where, "X-Goog-Upload-Status": "active"})

    def _chunk(self, call: Call, upload: Upload, polls: int, *, final: bool) -> Reply:
        if int(call.headers.get("x-goog-upload-offset", -1)) != upload.received:
            raise Refusal(400, f"the next chunk begins at {upload.received}")
        source = call.raw()
        while block := source.read(256 * 1024):
            upload.file.write(block)
            upload.digest.update(block)
            upload.received += len(block)
        if upload.received > upload.size or (final and upload.received != upload.size):
            raise Refusal(400, f"{upload.size} bytes were announced, {upload.received} came")
        if not final:
            return json_reply({}, headers={"X-Goog-Upload-Status": "active"})
        file = self._finish(call, upload, polls)
        return json_reply({"file": file.view()}, headers={"X-Goog-Upload-Status": "final"})

    def _finish(self, call: Call, upload: Upload, polls: int) -> File:
        upload.file.seek(0)
        seconds = seconds_of(upload.file)
        upload.file.close()
        digest = upload.digest.digest()
        file = File(
            upload.name,
            upload.display_name,
            upload.mime_type,
            upload.size,
            base64.b64encode(digest).decode(),
            f"{call.base_url}{call.path.removeprefix('/upload')}/{upload.name.removeprefix('files/')}",
            seconds,
            polls,
            call.has_fault("failed_file"),
        )
        call.note(file=file.name, sha256=digest.hex(), seconds=seconds)
        with self._lock:
            self._files[file.name] = file
            self._uploads.pop(call.query["upload_id"], None)
        return file

    def get(self, name: str) -> dict[str, Any]:
        """One look at a file: a step nearer to ACTIVE."""
        with self._lock:
            self._expire()
            file = self._found(name)
            shown = file.view()
            file.polls = max(0, file.polls - 1)
            return shown

    def list(self) -> list[dict[str, Any]]:
        with self._lock:
            self._expire()
            return [file.view() for file in self._files.values()]

    def delete(self, name: str) -> None:
        with self._lock:
            self._found(name)
            del self._files[name]

    def used(self, uri: str) -> File:
        """The file a part of a request means. Refusal unless it is ACTIVE."""
        with self._lock:
            self._expire()
            file = self._found("files/" + uri.rpartition("/")[2])
        if file.state != "ACTIVE":
            raise Refusal(400, f"the file {file.name} is not in an ACTIVE state and usage is not allowed")
        return file

    def age(self, hours: float) -> None:
        """Let time pass for the files that are there."""
        with self._lock:
            for file in self._files.values():
                file.created -= timedelta(hours=hours)

    def clear(self) -> None:
        with self._lock:
            for upload in self._uploads.values():
                upload.file.close()
            self._uploads.clear()
            self._files.clear()

    def _found(self, name: str) -> File:
        if name not in self._files:
            raise Refusal(403, f"you do not have permission to access the file {name} or it may not exist")
        return self._files[name]

    def _expire(self) -> None:
        oldest = datetime.now(UTC) - KEPT
        for name in [name for name, file in self._files.items() if file.created < oldest]:
            del self._files[name]


def seconds_of(file: IO[bytes]) -> float | None:
    """The length of the sound in it, None when there is none."""
    with tempfile.TemporaryDirectory(prefix="relay-sandbox-") as folder:
        path = Path(folder) / "sound"
        with path.open("wb") as copy:
            while block := file.read(256 * 1024):
                copy.write(block)
        return audio_seconds(path)
