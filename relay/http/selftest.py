"""Before `ready`: every metered route refuses a caller without credentials, and one without credit.

A relay that gave its inference away would look healthy; this asks it, through its own app, once at start.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog

from relay.ports.auth import Identity
from relay.services.core import Core

log = structlog.get_logger("relay.selftest")

App = Callable[..., Iterable[bytes]]

BOUNDARY = "self-test"
UPLOAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--{BOUNDARY}--\r\n'
).encode()
METERED: dict[str, tuple[str, bytes]] = {
    "/relay/transcribe": (f"multipart/form-data; boundary={BOUNDARY}", UPLOAD),
    "/relay/diarize": (f"multipart/form-data; boundary={BOUNDARY}", UPLOAD),
    "/relay/analyze": ("application/json", b'{"prompt":"self-test"}'),
    "/relay/jobs": ("application/json", b'{"task":"analyze","prompt":"self-test"}'),
    "/relay/v1/chat/completions": ("application/json", b'{"messages":[{"role":"user","content":"self-test"}]}'),
    "/relay/v1/audio/transcriptions": (f"multipart/form-data; boundary={BOUNDARY}", UPLOAD),
}
"""Every metered route with a body it would accept. A test holds this against the app's routes."""


def self_test(core: Core, app: App) -> bool:
    """Whether every metered route refuses with 401 and 402; a failure is logged with the route."""
    passed = True
    for path in METERED:
        for status, identity in (("401", None), ("402", penniless())):
            got = _post(app, path, identity)
            if not got.startswith(status):
                log.error("self_test_failed", path=path, expected=status, got=got)
                passed = False
    if passed:
        core.tested.set()
    return passed


def penniless() -> Identity:
    """A caller who may spend nothing: no allowance, and a name nobody has."""
    return Identity(f"inst:self-test-{secrets.token_hex(8)}", "self-test", allowance=False)


def _post(app: App, path: str, identity: Identity | None) -> str:
    content_type, body = METERED[path]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "self-test",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "relay.probe": _no_probe,
        "relay.self_test": True,
    }
    if identity is not None:
        environ["relay.identity"] = identity
    statuses: list[str] = []

    def start_response(status: str, _headers: Any, _exc_info: Any = None) -> None:
        statuses.append(status)

    for _ in app(environ, start_response):
        pass
    return statuses[-1] if statuses else "nothing"


def _no_probe(_path: Path) -> float | None:
    """The recording of the self-test is not looked at, so that an idle relay need not load a decoder."""
    return None
