"""Which URLs of strangers the relay may open, and at which addresses: public ones only.

A caller's URL could point into the operator's own network. The name is looked up once, every address it has
is judged, and whoever connects must use one of the judged addresses: a second look-up could answer otherwise.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from relay.errors import UrlNotAllowed

MAX_URL = 8192
MAX_ADDRESSES = 64
LOOKUP_SECONDS = 5.0
MAX_LOOKUPS = 32
PORTS = {"http": 80, "https": 443}

# Control characters, spaces and backslashes mean different things to different parsers of URLs.
FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\u2028\u2029]")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# What inet_aton takes for a number: decimal, octal or hexadecimal.
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# All of IPv6 that is handed out for use on the internet, so everything else is refused unnamed: loopback,
# link-local, unique-local, site-local, multicast, IPv4-mapped and -compatible, NAT64, segment routing.
GLOBAL_UNICAST = IPv6Network("2000::/3")
# The parts of it that are not hosts: special assignments with Teredo and ORCHID, documentation, 6to4.
NOT_HOSTS_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# What Python's own tables lack, depending on its version: shared space of carriers, protocol assignments, 6to4 relays.
NOT_HOSTS_V4 = tuple(map(IPv4Network, ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24")))

_lookups = threading.BoundedSemaphore(MAX_LOOKUPS)


@dataclass(frozen=True, slots=True)
class Target:
    """One URL that may be opened. `host` is lower-case ASCII, without brackets; `path` has the query, no fragment.

    `addresses`: what the host resolved to, each judged; connect to these and to nothing else. `trusted`: the operator
    named the URL in the settings, so its addresses were not judged.
    """

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]
    trusted: bool = False

    @property
    def authority(self) -> str:
        """As it goes into the Host header: the port is left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def check_url(url: str) -> None:
    """Raises UrlNotAllowed for a URL that the relay would not open now. Looks up its host; at most 5 s."""
    resolve_url(url)


def resolve_url(url: str, *, trusted: bool = False) -> Target:
    """Take a URL apart, look up its host once, and judge every address unless it is `trusted`. Raises UrlNotAllowed."""
    scheme, host, port, path = _split(url)
    addresses = _lookup(host, port)
    for address in addresses:
        if not trusted and not is_public(address):
            # Which address it was stays untold: that would map the operator's network for the caller.
            raise UrlNotAllowed("the URL's host has an address that is not public; give one on the internet")
    return Target(scheme, host, port, path, addresses, trusted)


def is_public(address: str) -> bool:
    """Is this a host on the internet? `address` is in the usual notation; anything else is not."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        special = ip.is_multicast or ip.is_reserved or any(ip in net for net in NOT_HOSTS_V4)
        return ip.is_global and not special
    return ip.scope_id is None and ip in GLOBAL_UNICAST and not any(ip in net for net in NOT_HOSTS_V6)


def _split(url: str) -> tuple[str, str, int, str]:
    if len(url) > MAX_URL:
        raise UrlNotAllowed(f"the URL is longer than {MAX_URL} characters")
    if FORBIDDEN.search(url):
        raise UrlNotAllowed("the URL has a space, a backslash or a control character in it; encode it with %")
    try:
        parsed = parse_url(url)
    except LocationParseError:
        raise UrlNotAllowed("the URL cannot be read; send one like https://host/path") from None
    scheme = (parsed.scheme or "").lower()
    if scheme not in PORTS:
        raise UrlNotAllowed("the URL must begin with http:// or https://")
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        raise UrlNotAllowed("the URL must not carry a user name or password")
    if "%" in authority:
        raise UrlNotAllowed("the URL's host must be written without %")
    port = PORTS[scheme] if parsed.port is None else parsed.port
    if not 1 <= port <= 65535:
        raise UrlNotAllowed("the URL's port must be from 1 to 65535")
    return scheme, _host((parsed.host or "").lower()), port, parsed.request_uri


def _host(host: str) -> str:
    """The name or address, checked, without brackets and without the dot that ends a full name."""
    if host.startswith("["):
        literal = host[1:-1]
        if "%" in literal or not _is(IPv6Address, literal):
            raise UrlNotAllowed("the URL's IPv6 address cannot be used")
        return literal
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise UrlNotAllowed("the URL's host is not a valid name")
    if NUMBER.fullmatch(labels[-1]) and not _is(IPv4Address, host):
        raise UrlNotAllowed("the URL's host is a number; write an IPv4 address as four decimal numbers")
    return host


def _is(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _lookup(host: str, port: int) -> tuple[str, ...]:
    """All addresses of a host, in the system's order of preference.

    The system's look-up knows no time limit, so it gets a thread; one that hangs is left behind, up to a number.
    """
    if not _lookups.acquire(blocking=False):
        raise UrlNotAllowed("too many names are being looked up; try again in some seconds", retry_after=5)
    answers: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(entry[4][0]) for entry in found])
        except (OSError, UnicodeError):
            answers.put(None)
        finally:
            _lookups.release()

    threading.Thread(target=ask, name="lookup", daemon=True).start()
    try:
        found = answers.get(timeout=LOOKUP_SECONDS)
    except queue.Empty:
        found = None
    if not found:
        raise UrlNotAllowed("the URL's host cannot be found; check its name")
    if len(found) > MAX_ADDRESSES:
        raise UrlNotAllowed(f"the URL's host has more than {MAX_ADDRESSES} addresses")
    return tuple(dict.fromkeys(found))
