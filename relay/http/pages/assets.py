"""`/dashboard` and its files. Everything is read into memory once, at the first start of an app in a process.

The files hang below a folder named by the hash of them all, so they may be kept for ever and a browser never mixes the
modules of two versions: a page from before an upgrade gets 404 for what it has not loaded yet, and says so.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import falcon

from relay.errors import NotFound

FOLDER = Path(__file__).parents[2] / "dashboard"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
INDEX = "index.html"
KEEP = "public, max-age=31536000, immutable"
ASK = "no-cache"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, ready to be sent."""

    body: bytes
    packed: bytes
    etag: str
    content_type: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> Page:
        return cls(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:20], content_type)

    def send(self, req: falcon.Request, resp: falcon.Response, cache: str) -> None:
        for name, value in HEADERS.items():
            resp.set_header(name, value)
        resp.set_header("Cache-Control", cache)
        resp.set_header("Vary", "Accept-Encoding")
        # Weak, because the packed and the plain body share it.
        resp.etag = f'W/"{self.etag}"'
        if self.etag in (req.if_none_match or ()):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = self.content_type
        if _takes_gzip(req.get_header("Accept-Encoding") or ""):
            resp.set_header("Content-Encoding", "gzip")
            resp.data = self.packed
        else:
            resp.data = self.body


class Assets:
    """The files of the dashboard by name. `base`: the path they hang below, which changes when any of them does."""

    def __init__(self, folder: Path = FOLDER) -> None:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in TYPES
        }
        digest = hashlib.sha256()
        for name, body in files.items():
            digest.update(f"{name}\0{len(body)}\0".encode() + body)
        self.build = digest.hexdigest()[:12]
        self.base = f"/dashboard/{self.build}"
        index = files.pop(INDEX).replace(b"{base}", self.base.encode())
        self.index = Page.of(index, TYPES[".html"])
        self.files = {name: Page.of(body, TYPES[Path(name).suffix]) for name, body in files.items()}


@cache
def dashboard_files() -> Assets:
    return Assets()


class Dashboard:
    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._assets.index.send(req, resp, ASK)

    on_head = on_get

    def on_get_file(self, req: falcon.Request, resp: falcon.Response, build: str, name: str) -> None:
        """Raises NotFound for a name it does not know, and for every name of another version."""
        page = self._assets.files.get(name) if build == self._assets.build else None
        if page is None:
            raise NotFound("there is no such file; if this relay was upgraded just now, load the page again")
        page.send(req, resp, KEEP)

    on_head_file = on_get_file


def _takes_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
