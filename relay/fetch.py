"""Fetch a recording from a URL that a caller named; post a callback to one.

`relay.addresses` decides what may be opened, `relay.pinned` connects to exactly that. Here are the limits: on
redirects, size and time.
"""

from __future__ import annotations

import contextlib
import errno
import mimetypes
import re
from collections.abc import Callable, Mapping
from email.message import Message
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import requests
import structlog
from urllib3.exceptions import HTTPError

from relay import __version__
from relay.addresses import Target, check_url, resolve_url
from relay.errors import Invalid, StorageFull, TooLarge, UrlNotAllowed
from relay.pinned import Clock, asked

__all__ = ["check_url", "download", "post", "post_trusted"]

log = structlog.get_logger("relay.fetch")

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PIECE_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 64 * 1024
HEADERS = {"User-Agent": f"recap-relay/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


def download(url: str, target: Path, *, max_bytes: int, timeout: float, check: Callable[[], None]) -> str:
    """Fetch `url` into the file `target`; return a guess at its file name, such as `talk.mp3`.

    At most `max_bytes`, in at most `timeout` seconds for everything. `check` is called for each piece and may
    raise to end it. Up to 5 redirects are followed. When this raises, `target` may hold a part of the file.

    Raises UrlNotAllowed (for a redirect too), TooLarge, StorageFull, or Invalid: the server did not hand out a file.
    """
    with Clock(timeout) as clock:
        for _ in range(MAX_REDIRECTS + 1):
            check()
            aim = resolve_url(url)
            with asked("GET", aim, clock, headers=HEADERS) as response:
                place = response.headers.get("location")
                if response.status_code not in REDIRECTS or place is None:
                    size = _save(response, target, max_bytes, clock, check)
                    log.info("url_fetched", host=aim.host, bytes=size)
                    return _file_name(response, aim)
                url = _joined(aim, place)
    raise Invalid(f"the URL redirects more than {MAX_REDIRECTS} times", "url")


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> int:
    """POST `body` and return the status of the answer, whatever it is. Redirects are not followed.

    `timeout`: seconds for everything. Raises UrlNotAllowed, or Invalid when there was no answer.
    """
    return _post(url, body, headers, timeout, trusted=False)


def post_trusted(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> int:
    """Like `post`, to a URL of the operator's own settings: its addresses may be private. Never for a caller's URL."""
    return _post(url, body, headers, timeout, trusted=True)


def _post(url: str, body: bytes, headers: Mapping[str, str], timeout: float, *, trusted: bool) -> int:
    with Clock(timeout) as clock:
        aim = resolve_url(url, trusted=trusted)
        with asked("POST", aim, clock, headers={**HEADERS, **headers}, body=body) as response:
            with contextlib.suppress(HTTPError):
                # The status is what counts; the rest is taken so that the receiver may finish its answer.
                read = 0
                while read < MAX_ANSWER_BYTES and (piece := response.raw.read1(PIECE_BYTES, decode_content=False)):
                    read += len(piece)
            return response.status_code


def _save(response: requests.Response, target: Path, max_bytes: int, clock: Clock, check: Callable[[], None]) -> int:
    """Write the body to `target` piece by piece; return its size."""
    if response.status_code != 200:
        raise Invalid(f"the URL's server answered {response.status_code}; it must hand out the file itself", "url")
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"identity", ""}:
        # It was asked not to. Unpacking would make any number of bytes from few.
        raise Invalid("the URL's server sends the file compressed; serve it without Content-Encoding", "url")
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > max_bytes:
        raise _too_large(max_bytes)
    try:
        size = _write(response, target, max_bytes, check)
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("no disk space is left for the file at the URL", retry_after=60) from exc
        raise
    if clock.passed:
        # A cut connection may look like the end of a body without a length.
        raise clock.over()
    return size


def _write(response: requests.Response, target: Path, max_bytes: int, check: Callable[[], None]) -> int:
    size = 0
    with target.open("wb") as file:
        while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
            check()
            size += len(piece)
            if size > max_bytes:
                raise _too_large(max_bytes)
            file.write(piece)
    return size


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the file at the URL is larger than {max_bytes} bytes")


def _joined(aim: Target, place: str) -> str:
    try:
        place = place.encode("latin-1").decode()
        return urljoin(f"{aim.scheme}://{aim.authority}{aim.path}", place)
    except ValueError:
        raise UrlNotAllowed("the URL redirects to something that is not a URL") from None


def _file_name(response: requests.Response, aim: Target) -> str:
    """What the server calls it, else the end of the URL's path; with an ending, so that its kind can be told."""
    head = Message()
    head["content-disposition"] = response.headers.get("content-disposition", "")
    name = head.get_filename() or unquote(urlsplit(aim.path).path)
    name = re.sub(r"[^\w .()-]", "_", name.rpartition("/")[2])[-100:].strip(" .") or "download"
    if "." not in name:
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        name += mimetypes.guess_extension(kind) or ""
    return name
