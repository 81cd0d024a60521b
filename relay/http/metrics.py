"""`GET /metrics` for Prometheus, and what the server itself has to tell there."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import falcon

from relay.errors import Forbidden, Unauthenticated
from relay.http.admin.access import needed
from relay.http.admin.guard import identify
from relay.http.server import Server
from relay.services.core import Core

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPage:
    """For a scoped key, an admin session, or a scraper on this machine that came here directly.

    A proxy on this machine makes everybody look local, so a request that says it was forwarded is none.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._check(req)
        from relay.services.exposition import exposition

        resp.content_type = CONTENT_TYPE
        resp.data = exposition(self._core)

    def _check(self, req: falcon.Request) -> None:
        identity = identify(self._core.admin, req)
        if identity is not None:
            identity.check(needed("GET", "/metrics"))
            return
        if not is_loopback(req.env.get("REMOTE_ADDR", "")):
            raise Unauthenticated("metrics are for this machine, an admin, or a key with metrics:read")
        if was_forwarded(req.env):
            raise Forbidden(
                "metrics are not for forwarded requests; ask this port directly, or send a key with metrics:read"
            )


def is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def was_forwarded(env: Mapping[str, Any]) -> bool:
    return any(name == "HTTP_FORWARDED" or name.startswith("HTTP_X_FORWARDED") for name in env)


def watch(core: Core, server: Server) -> None:
    """Let the metrics ask this server what it is doing."""

    def use() -> dict[str, float]:
        dispatcher = server.task_dispatcher
        return {
            "threads": server.options.threads,
            "threads_busy": dispatcher.active_count,
            "requests_queued": len(dispatcher.queue),
            "connections_open": len(server.active_channels),
            "spool_disk_bytes": server.spool.on_disk,
            "spool_memory_bytes": server.spool.in_memory,
        }

    core.metrics.server = use
