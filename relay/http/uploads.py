"""Multipart uploads: the recording goes from the spooled body to a file of its own, never through memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import falcon
import msgspec
from falcon.media.multipart import MultipartFormHandler, MultipartParseError

from relay.errors import BadRequest, Invalid, StorageFull, UnsupportedMedia

MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 32


class Upload(msgspec.Struct):
    """`path`: the recording; `filename`: what the caller called it; `fields`: the other parts; what is sent
    several times under a name that ends in `[]` is joined with commas."""

    path: Path
    filename: str
    fields: dict[str, str]


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder of this call alone, removed afterwards with all that is in it."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as exc:
        raise StorageFull(f"the upload could not be stored: {exc.strerror}", retry_after=60) from exc
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_upload(req: falcon.Request, folder: Path) -> Upload:
    """The multipart body. UnsupportedMedia, BadRequest (broken or cut off), Invalid (no `file`)."""
    content_type = req.content_type or ""
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise UnsupportedMedia("send the recording as multipart/form-data with a part named file")
    try:
        return _read(req, folder)
    except MultipartParseError as exc:
        raise BadRequest(f"the multipart body is broken or cut off: {exc.description or exc.title}") from None
    except falcon.HTTPError as exc:
        raise BadRequest(f"the multipart body cannot be read: {exc.description or exc.title}") from None
    except UnicodeError:
        raise BadRequest("a multipart field is not UTF-8 text") from None
    except OSError as exc:
        raise StorageFull(f"the upload could not be stored: {exc.strerror}", retry_after=60) from exc


def _read(req: falcon.Request, folder: Path) -> Upload:
    path, filename = folder / "upload", None
    fields: dict[str, str] = {}
    for part in _form(req):
        if part.name == "file":
            if filename is not None:
                raise Invalid("send one file", "file")
            filename = str(part.filename or "recording")[:255]
            with path.open("wb") as file:
                part.stream.pipe(file)
        elif part.name:
            data = part.stream.read(MAX_FIELD_BYTES + 1)
            if len(data) > MAX_FIELD_BYTES:
                raise Invalid(f"{part.name} is longer than {MAX_FIELD_BYTES} bytes", part.name)
            text = data.decode("utf-8")
            repeated = part.name.endswith("[]") and part.name in fields
            fields[part.name] = f"{fields[part.name]},{text}" if repeated else text
    if filename is None:
        raise Invalid("file is required: the recording, as a multipart part named file", "file")
    return Upload(path, filename, fields)


def _form(req: falcon.Request) -> Any:
    handler = MultipartFormHandler()
    handler.parse_options.max_body_part_count = MAX_PARTS
    return handler.deserialize(req.bounded_stream, req.content_type, req.content_length)
