"""What every request gets: an id, CORS headers, a line in the log, and the address it came from."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Sequence
from typing import Any

import falcon
import structlog

from relay.http.cors import PREFLIGHT, cors
from relay.services.core import Core

log = structlog.get_logger("relay.http")


class Context:
    """Falcon middleware."""

    def __init__(self, core: Core) -> None:
        self._cors = cors(core.settings.relay.cors_origins)
        self._trusted = networks(core.settings.relay.trusted_proxies)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        context = req.context
        context.request_id = f"req_{secrets.token_hex(12)}"
        context.started = time.monotonic()
        context.address, context.https = self._origin(req)
        resp.set_header("X-Request-Id", context.request_id)
        for name, value in self._cors(req.path, req.get_header("Origin")):
            resp.set_header(name, value)
        if req.method == "OPTIONS" and req.path.startswith("/relay/"):
            for name, value in PREFLIGHT:
                resp.set_header(name, value)
            resp.status = falcon.HTTP_204
            resp.complete = True

    def process_response(self, req: falcon.Request, resp: falcon.Response, _resource: Any, _ok: bool) -> None:  # noqa: FBT001
        if req.method != "GET":
            log.info(
                "request",
                id=req.context.request_id,
                method=req.method,
                path=req.uri_template or "?",
                status=resp.status_code,
                ms=elapsed_ms(req),
            )

    def _origin(self, req: falcon.Request) -> tuple[str, bool]:
        """The caller's address, and whether it came by https; forwarded headers count only from trusted proxies."""
        peer = req.env.get("REMOTE_ADDR", "")
        if not self._trusted or not _within(peer, self._trusted):
            return peer, req.env.get("wsgi.url_scheme") == "https"
        hops = [hop.strip() for hop in (req.get_header("X-Forwarded-For") or "").split(",") if hop.strip()]
        https = (req.get_header("X-Forwarded-Proto") or "").split(",")[0].strip().lower() == "https"
        for hop in reversed(hops):
            if not _within(hop, self._trusted):
                return hop[:64], https
        return peer, https


def elapsed_ms(req: falcon.Request) -> int:
    return int((time.monotonic() - req.context.started) * 1000)


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def networks(texts: Sequence[str]) -> Networks:
    """Raises ValueError for what is neither an address nor a network."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def _within(address: str, trusted: Networks) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in trusted)
