"""Where each service is reached, and which places a discovery may send the relay to."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

import structlog

from relay.api import Endpoint, HTTPClient, ServerName, Task
from relay_spark.discovery import Announced
from relay_spark.settings import DEFAULT_PATHS, PATH_SETTINGS, Settings

log = structlog.get_logger("relay.spark")


class Places:
    """One client per server. Raises ValueError for a url or token that cannot work."""

    def __init__(self, settings: Settings, where: str) -> None:
        self._settings = settings
        self._where = where
        self._server = ServerName("the Spark server", where, "token", (settings.token,) if settings.token else ())
        self._lock = threading.Lock()
        self._own = self._client(settings.url, trusted=True)
        self._clients: dict[str, HTTPClient] = {}
        self._ignored: set[str] = set()

    def discovery(self) -> Endpoint:
        return self._endpoint(self._own, self._settings.discovery_path, "discovery_path")

    def of(self, task: Task, announced: Announced) -> Endpoint:
        """The setting first, then what was announced, then the default."""
        name = PATH_SETTINGS[task]
        if (path := self._settings.path(task)) is not None:
            return self._endpoint(self._own, path, name)
        path = announced.path or DEFAULT_PATHS[task]
        return self._announced(announced, path, name) or self._endpoint(self._own, DEFAULT_PATHS[task], name)

    def models(self, chat: Announced) -> Endpoint:
        """The list of models stands where the chat is."""
        path, name = self._settings.models_path, "models_path"
        found = self._announced(chat, path, name) if self._settings.chat_path is None else None
        return found or self._endpoint(self._own, path, name)

    def close(self) -> None:
        self._own.close()
        with self._lock:
            for client in self._clients.values():
                client.close()

    def _announced(self, announced: Announced, path: str, name: str) -> Endpoint | None:
        """None when the server it names is not to be used."""
        if announced.base_url is None:
            return self._endpoint(self._own, path, name)
        try:
            parts = urlsplit(announced.base_url)
        except ValueError:
            return None
        client = self._elsewhere(f"{parts.scheme}://{parts.netloc}")
        return None if client is None else self._endpoint(client, _joined(parts.path.rstrip("/"), path), name)

    def _elsewhere(self, base: str) -> HTTPClient | None:
        """The client for a discovered server, or None when it is not to be used."""
        own, other = urlsplit(self._settings.url), urlsplit(base)
        same = own.hostname == other.hostname and not (own.scheme == "https" and other.scheme == "http")
        with self._lock:
            if base in self._clients:
                return self._clients[base]
            if not same and not self._settings.allow_discovered_hosts:
                if base not in self._ignored:
                    self._ignored.add(base)
                    log.warning(
                        "the Spark server names a service on another host, which is not used",
                        host=other.hostname,
                        setting=f"{self._where}.allow_discovered_hosts",
                    )
                return None
            try:
                client = self._client(base, trusted=same)
            except ValueError as exc:
                log.warning("the Spark server names an address that cannot be used", reason=str(exc))
                return None
            self._clients[base] = client
            return client

    def _client(self, url: str, *, trusted: bool) -> HTTPClient:
        """The token goes to the host it was set for, never to one that was discovered."""
        settings = self._settings
        return HTTPClient(
            url,
            headers={"authorization": f"Bearer {settings.token}"} if settings.token and trusted else {},
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            pool_size=settings.max_concurrent + 1,
        )

    def _endpoint(self, client: HTTPClient, path: str, setting: str) -> Endpoint:
        return Endpoint(client, path, f"{self._where}.{setting}", self._server)


def _joined(prefix: str, path: str) -> str:
    """`/gpu/v1` and `/v1/models` are `/gpu/v1/models`: what both say is said once."""
    path = f"/{path.lstrip('/')}"
    at = prefix.find("/")
    while at >= 0:
        if path.startswith(f"{prefix[at:]}/"):
            return prefix[:at] + path
        at = prefix.find("/", at + 1)
    return prefix + path
