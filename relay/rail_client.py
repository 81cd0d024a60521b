"""A small JSON client for payment services, on `requests`. It answers the money question for every way a call fails:
did anything happen there?

What only reads and failed, or never left, is RailUnavailable. What may have changed something there is
RailOutcomeUnknown, and only a look at the service can tell.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import msgspec
import requests
import structlog
from requests.adapters import HTTPAdapter
from urllib3 import Timeout
from urllib3.exceptions import DecodeError, HTTPError, LocationParseError
from urllib3.util import parse_url

from relay import __version__
from relay.errors import RailError, RailOutcomeUnknown, RailUnavailable, Unavailable
from relay.upstream.connection import Interrupt, Pool, TLSPool, reason, this_thread

log = structlog.get_logger("relay.rails")

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 15.0
CALL_SECONDS = 20.0
MAX_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 64 * 1024
LOGGED_CHARACTERS = 500
LONGEST_RETRY_AFTER = 3600
SHORTEST_SECRET = 6  # a shorter one would be cut out of every word of a log

READS = frozenset({"GET", "HEAD"})
MOVED = frozenset({301, 302, 307, 308})
BAD_HEADER = re.compile(r"[^\x20-\x7e]")

Params = Mapping[str, str | Sequence[str]]
decoder = msgspec.json.Decoder(float_hook=Decimal)


class _Adapter(HTTPAdapter):
    """Connections that know whether a byte of the request has left, and that can be cut when the time is over."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - the signature is theirs
        # The certificates this machine trusts, as elsewhere in the relay; `requests` alone brings its own.
        options |= {"timeout": Timeout(CONNECT_SECONDS), "ssl_context": ssl.create_default_context()}
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": TLSPool}


class _Session(requests.Session):
    def get_redirect_target(self, _response: Any) -> None:
        """None, or `requests` would read the whole body of a redirect that nobody asked it to follow."""


class RailClient:
    """One payment service at one base URL, safe to share between threads. Nothing is contacted here.

    `base_url` is http or https and may have a path, which goes before every path. `name` is the rail's, as people
    read it in messages. `headers` go with every request; their values never reach a log. TLS is verified, redirects
    are not followed, proxies and passwords of the environment are not used.

    Raises ValueError, without the value of any header, for what cannot work.
    """

    def __init__(self, base_url: str, *, name: str, headers: Mapping[str, str]) -> None:
        self.base_url = checked_url(base_url)
        self.name = name
        for header, value in headers.items():
            if BAD_HEADER.search(value):
                raise ValueError(f"the value for the header {header} holds a character that cannot be sent")
        self._secrets = tuple(secret for value in headers.values() for secret in (value, value.rpartition(" ")[2]))
        self._session = _Session()
        self._session.trust_env = False
        self._session.headers.clear()
        own = {"User-Agent": f"recap-relay/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"}
        self._session.headers.update({**own, **headers})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter()
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Params | None = None,
        timeout: float | None = None,
        secrets: Sequence[str] = (),
    ) -> tuple[int, Any]:
        """Send one request, once: the status (200 to 299 or 400 to 499) and the JSON that came with it.

        None stands for an empty body, for `null`, and for what is no JSON in a refusal (4xx). Fractions are Decimal.
        `path` has its ids quoted; `params` may repeat a name; `timeout`: seconds for everything (default 20);
        `secrets`: more of them that the service might repeat in an error.

        Raises RailUnavailable: not connected, or a GET failed in any way, or it asks to come later (429).
        Raises RailOutcomeUnknown: anything else was lost after it left, or was answered with 5xx or without JSON.
        """
        limit = CALL_SECONDS if timeout is None else timeout
        interrupt = Interrupt()
        clock = threading.Timer(limit, interrupt.stop)
        clock.daemon = True
        clock.start()
        this_thread.interrupt = interrupt
        try:
            status, headers, body = self._exchange(method, path, json, params, limit, interrupt)
        except Unavailable as exc:
            why = reason(exc)
            log.warning("payment_service_unreachable", rail=self.name, reason=why)
            raise RailUnavailable(f"the {self.name} server could not be reached: {why}; try again later") from exc
        except (requests.RequestException, HTTPError, OSError) as exc:
            raise self.unusable(method, "it did not answer in time" if interrupt.fired else _why(exc)) from None
        finally:
            this_thread.interrupt = None
            clock.cancel()
        return status, self._read(method, path, status, headers, body, secrets)

    def unusable(self, method: str, what: str) -> RailError:
        """The error for an answer to `method` that makes no sense. `what` is for people and holds nothing of it."""
        log.warning("payment_service_failed", rail=self.name, method=method, reason=what)
        if method in READS:
            return RailUnavailable(f"the {self.name} server gave no usable answer: {what}; try again later")
        return RailOutcomeUnknown(
            f"whether the {self.name} server did what it was asked is not known: {what}; the relay looks there later"
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def _exchange(
        self, method: str, path: str, json: Any, params: Params | None, limit: float, interrupt: Interrupt
    ) -> tuple[int, Mapping[str, str], bytes]:
        response = self._session.request(
            method,
            f"{self.base_url}/{path.lstrip('/')}",
            params=params,
            data=None if json is None else msgspec.json.encode(json),
            headers=None if json is None else {"Content-Type": "application/json"},
            stream=True,
            allow_redirects=False,
            timeout=(min(limit, CONNECT_SECONDS), min(limit, SILENCE_SECONDS)),
        )
        deadline = time.monotonic() + limit
        body = bytearray()
        try:
            while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
                body += piece
                if len(body) > MAX_BYTES:
                    raise self.unusable(method, f"its answer is longer than {MAX_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise self.unusable(method, "it did not answer in time")
        finally:
            response.close()
        if interrupt.fired:
            # A body without a length ends with its connection, and so looks complete.
            raise self.unusable(method, "it did not answer in time")
        return response.status_code, response.headers, bytes(body)

    def _read(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
    ) -> Any:
        try:
            found = decoder.decode(body) if body.strip() else None
            readable = True
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found, readable = None, False
        if status >= 300 or not readable:
            self._tell(method, path, status, body, secrets)
        if status in MOVED:
            raise RailUnavailable(
                f"the {self.name} server sends every request elsewhere; the operator must set its final address"
            )
        if status == 429:
            raise RailUnavailable(
                f"the {self.name} server has too much to do; try again later", retry_after=_seconds(headers)
            )
        if status == 408 or status // 100 not in {2, 4}:
            raise self.unusable(method, f"it answered {status}")
        if not readable and status < 300:
            raise self.unusable(method, "its answer is no JSON")
        return found

    def _tell(self, method: str, path: str, status: int, body: bytes, secrets: Sequence[str]) -> None:
        """What the service said is for the operator alone, cut and without secrets."""
        said = body[: 8 * LOGGED_CHARACTERS].decode("utf-8", "replace")
        for secret in (*self._secrets, *secrets):
            if len(secret) >= SHORTEST_SECRET:
                said = said.replace(secret, "***")
        event = log.info if status == 404 else log.warning
        event(
            "payment_service_refused",
            rail=self.name,
            method=method,
            path=path,
            status=status,
            said=said[:LOGGED_CHARACTERS],
        )


def checked_url(url: str) -> str:
    """`url` without a slash at its end. Raises ValueError for anything but a plain http(s) address."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise ValueError("this is not a URL; write it like https://host") from None
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise ValueError("the URL must start with http:// or https:// and name a host")
    if parts.auth or parts.query is not None or parts.fragment is not None:
        raise ValueError("the URL must not carry a user, a password, a query or a fragment")
    return url.strip().rstrip("/")


def _why(exc: Exception) -> str:
    return "its content-encoding is broken" if isinstance(exc, DecodeError) else reason(exc)


def _seconds(headers: Mapping[str, str]) -> int | None:
    value = headers.get("retry-after", "").strip()
    return min(int(value), LONGEST_RETRY_AFTER) if value.isdecimal() and len(value) < 10 else None
