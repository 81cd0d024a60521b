"""What every request gets: an id, CORS headers, a line in the log, and the address it came from."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import falcon
import structlog

from relay.errors import BadRequest
from relay.http.cors import PREFLIGHT, cors
from relay.services.core import Core

log = structlog.get_logger("relay.http")


class Context:
    """Falcon middleware."""

    def __init__(self, core: Core) -> None:
        self._cors = cors(core.settings.relay.cors_origins)
        self._trusted = networks(core.settings.relay.trusted_proxies)
        self._metrics = core.metrics

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        context = req.context
        context.request_id = f"req_{secrets.token_hex(12)}"
        context.started = time.monotonic()
        context.error_code = None
        context.address, context.https = self._origin(req)
        resp.set_header("X-Request-Id", context.request_id)
        # As it came: falcon takes a target without a path for the front page.
        target = req.env.get("PATH_INFO", "")
        if not target.startswith("/") or target.startswith("//"):
            # The router forgives this, and every check that goes by the path would look past it.
            raise BadRequest("the target of a request must be a path that begins with one /")
        for name, value in self._cors(req.path, req.get_header("Origin")):
            resp.set_header(name, value)
        if req.method == "OPTIONS" and req.path.startswith("/relay/"):
            for name, value in PREFLIGHT:
                resp.set_header(name, value)
            resp.status = falcon.HTTP_204
            resp.complete = True

    def process_response(self, req: falcon.Request, resp: falcon.Response, _resource: Any, _ok: bool) -> None:  # noqa: FBT001
        if "relay.self_test" in req.env:
            return
        route = req.uri_template or "?"
        self._metrics.request(route, req.method, resp.status_code, time.monotonic() - req.context.started)
        if req.context.error_code is not None:
            self._metrics.refused(req.context.error_code)
        if req.method != "GET":
            log.info(
                "request",
                id=req.context.request_id,
                method=req.method,
                path=route,
                status=resp.status_code,
                ms=elapsed_ms(req),
            )

    def _origin(self, req: falcon.Request) -> tuple[str, bool]:
        """The caller's address, and whether it came by https; forwarded headers count only from trusted proxies."""
        peer = _address(req.env.get("REMOTE_ADDR", ""))
        if not self._trusted or not _within(peer, self._trusted):
            return _caller(peer), req.env.get("wsgi.url_scheme") == "https"
        hops = [_address(hop.strip()) for hop in (req.get_header("X-Forwarded-For") or "").split(",")]
        https = (req.get_header("X-Forwarded-Proto") or "").split(",")[0].strip().lower() == "https"
        for hop in reversed(hops):
            if not _within(hop, self._trusted):
                return _caller(hop or peer), https
        return _caller(peer), https


def elapsed_ms(req: falcon.Request) -> int:
    return int((time.monotonic() - req.context.started) * 1000)


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def networks(texts: Sequence[str]) -> Networks:
    """Raises ValueError for what is neither an address nor a network."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


@lru_cache(4096)
def _address(text: str) -> str:
    """An address in its plain form, without the port some proxies add; "" for what is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _within(address: str, trusted: Networks) -> bool:
    return bool(address) and any(ipaddress.ip_address(address) in network for network in trusted)


@lru_cache(4096)
def _caller(address: str) -> str:
    """Who counts as one caller: an address, in IPv6 the /64 that one customer gets."""
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if ":" in address else address
