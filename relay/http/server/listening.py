"""Opening the port."""

from __future__ import annotations

import errno
import socket

from relay.errors import ConfigError

BACKLOG = 2048
MAX_PORT = 65535


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on `host` (IPv4, IPv6 or a name); port 0 picks a free one.

    Raises ConfigError when the host does not exist here or the port cannot be had.
    """
    if not 0 <= port <= MAX_PORT:
        raise ConfigError(f"port {port} does not exist: choose a --port from 0 to {MAX_PORT}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as exc:
        raise ConfigError(f"host {host!r} is not known here ({exc}): choose another --host") from exc
    both = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(address[:2], family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as exc:
        raise ConfigError(_complaint(host, port, exc)) from exc


def _complaint(host: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop the program that has it, or choose another --port"
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"host {host} is not an address of this machine: choose another --host"
    if exc.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} on {host} needs more rights: choose a --port above 1023"
    return f"cannot listen on {host} port {port}: {exc.strerror or exc}"
