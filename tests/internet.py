"""A pretended internet: names have the addresses a test says, and public addresses lead to servers on loopback.

Nothing leaves the machine: a connection to an address that the test did not place is refused.
"""

from __future__ import annotations

import ipaddress
import socket


class Internet:
    """`names`: host to address lists, one per look-up, the last one repeats. `connected`: where connections went."""

    def __init__(self, monkeypatch) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.looked_up: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self._places: dict[tuple[str, int], int] = {}
        self._really_connect = socket.socket.connect
        internet = self

        def connect(sock, address):
            return internet._connect(sock, address)

        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(socket.socket, "connect", connect)

    def place(self, server, name: str, *addresses: str, port: int = 80) -> str:
        """Put a loopback server at public addresses under a name; return its URL without a path."""
        self.names[name] = [list(addresses)]
        for address in addresses:
            self._places[(address, port)] = server.port
        return f"http://{name}" if port == 80 else f"http://{name}:{port}"

    def _getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        try:
            ipaddress.ip_address(host)
        except ValueError:
            self.looked_up.append(host)
            answers = self.names.get(host)
            if not answers:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
            found = answers.pop(0) if len(answers) > 1 else answers[0]
        else:
            found = [host]
        # IPv4 sockets for all, so that this works on a machine without IPv6.
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    def _connect(self, sock, address):
        host, port = address[:2]
        if host == "127.0.0.1":  # a client of the test itself, or a mistake the test sees in `connected`
            self.connected.append((host, port))
            return self._really_connect(sock, address)
        self.connected.append((host, port))
        if (host, port) not in self._places:
            raise ConnectionRefusedError(111, "Connection refused")
        return self._really_connect(sock, ("127.0.0.1", self._places[(host, port)]))
