"""One HTTP exchange with a server that a stranger named, at an address that was judged, within one time limit.

The connection goes to one of the addresses of a `Target`, never by a second look-up, while Host header and TLS
certificate stay those of the name. requests-hardened filters the address once more where the connection is made;
alone it would not do: it looks at the first address of a name only, and lets the environment name a proxy.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from relay.addresses import Target
from relay.errors import Invalid, RelayError, UrlNotAllowed

MAX_TRIES = 4
"""How many addresses of one host are tried before it counts as unreachable."""
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0
HARDENED = Config(
    ip_filter_enable=True,
    ip_filter_allow_loopback_ips=False,
    never_redirect=True,
    default_timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
)


class Clock:
    """The time limit of one whole exchange. When it is over the connection is cut, whatever it is doing.

    A time limit on each read would not end a server that sends one byte now and then.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        self.connected = False
        self._end = time.monotonic() + seconds
        self._wire: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.watch(None)

    def left(self) -> float:
        """Seconds. Raises Invalid when there are none."""
        left = self._end - time.monotonic()
        if left <= 0 or self.passed:
            raise self.over()
        return left

    def over(self) -> Invalid:
        return Invalid(f"the URL's server took longer than {self.seconds:g} s", "url")

    def watch(self, wire: socket.socket | None) -> None:
        """Cut this connection at the end of the time. A duplicate, because TLS takes the socket over."""
        with self._lock:
            if self._wire is not None:
                self._wire.close()
            self._wire = None if wire is None else wire.dup()
            self.connected = wire is not None
        if self.passed:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.passed = True
            if self._wire is not None:
                with contextlib.suppress(OSError):
                    self._wire.shutdown(socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, clock: Clock, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock

    def _new_conn(self) -> socket.socket:
        wire = super()._new_conn()
        self._clock.watch(wire)
        return wire


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Session(HTTPSession):  # type: ignore[misc]
    def get_redirect_target(self, _response: requests.Response) -> None:
        """None, or `requests` would read and unpack the whole body of a redirect that nobody asked it to follow."""


class _PinnedAdapter(IPFilterAdapter):  # type: ignore[misc]
    """Sends requests whose URL has an address for a host, in the name of the host it belongs to."""

    def __init__(self, aim: Target, clock: Clock) -> None:
        self._aim = aim
        self._clock = clock
        super().__init__(is_https_proto=aim.scheme == "https")

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        # A trusted URL passes by the filter of addresses, and by that alone.
        kind: Any = HTTPAdapter if self._aim.trusted else IPFilterAdapter
        place, options = kind.build_connection_pool_key_attributes(self, request, verify, cert)
        request.headers["Host"] = self._aim.authority
        if self._aim.scheme == "https":
            options["assert_hostname"] = options["server_hostname"] = self._aim.host
        return place, options

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _TLSConnection if self._aim.scheme == "https" else _Connection
        pool.ConnectionCls = partial(kind, clock=self._clock)
        return pool


@contextmanager
def asked(
    method: str, aim: Target, clock: Clock, *, headers: Mapping[str, str], body: bytes | None = None
) -> Iterator[requests.Response]:
    """The answer, its body not read yet. Whatever the network does inside leaves as UrlNotAllowed or Invalid."""
    with _Session(HARDENED) as session:
        session.trust_env = False  # no proxies, no passwords from ~/.netrc
        try:
            with contextlib.closing(_first_answer(session, method, aim, clock, headers, body)) as response:
                yield response
        except (requests.RequestException, HTTPError) as exc:
            raise _explained(exc, clock) from None  # its text has the URL in it, with whatever secrets are there


def _first_answer(
    session: _Session, method: str, aim: Target, clock: Clock, headers: Mapping[str, str], body: bytes | None
) -> requests.Response:
    """Ask at the first of the addresses that takes the connection."""
    clock.watch(None)
    for last, address in _numbered(aim.addresses[:MAX_TRIES]):
        session.mount(f"{aim.scheme}://", _PinnedAdapter(aim, clock))
        left = clock.left()
        try:
            response: requests.Response = session.request(
                method,
                f"{aim.scheme}://{f'[{address}]' if ':' in address else address}:{aim.port}{aim.path}",
                data=body,
                headers=dict(headers),
                stream=True,
                allow_redirects=False,
                timeout=(min(left, CONNECT_SECONDS), min(left + 1, SILENCE_SECONDS)),  # the clock ends it first
            )
        except requests.ConnectionError:
            if last or clock.connected:
                raise
        else:
            return response
    raise UrlNotAllowed("the URL's host has no address")


def _numbered(addresses: tuple[str, ...]) -> Iterator[tuple[bool, str]]:
    for n, address in enumerate(addresses, 1):
        yield n == len(addresses), address


def _explained(exc: Exception, clock: Clock) -> RelayError:
    if isinstance(exc, InvalidIPAddress):
        return UrlNotAllowed("the URL's host has an address that is not public; give one on the internet")
    if clock.passed:
        return clock.over()
    if isinstance(exc, requests.exceptions.SSLError):
        return Invalid("the URL's server has no valid TLS certificate for its name", "url")
    if not clock.connected:
        return Invalid("the URL's server could not be reached", "url")
    return Invalid("the URL's server broke off, fell silent, or does not speak HTTP", "url")
