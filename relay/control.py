"""`DIR/relay.sock`: how the other commands ask a running relay. One JSON line in, JSON lines out.

A request is `{"command": name}`. The answers are any number of `{"progress": [done, of]}`, then one
`{"result": …}` or `{"error": message}`. The socket's mode is 0600: who owns the data dir may ask.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from relay.errors import ConfigError, RelayError

NAME = "relay.sock"
MAX_LINE = 64 * 1024
WAIT_SECONDS = 600

Progress = Callable[[int, int], None]
Command = Callable[[Progress], Any]


@contextmanager
def _short_path(data_dir: Path) -> Iterator[str]:
    """A path to the socket that fits the 107 bytes a socket's name may have, however deep the data dir is."""
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        proc = f"/proc/self/fd/{folder}"
        yield f"{proc}/{NAME}" if Path(proc).exists() else str(data_dir / NAME)
    finally:
        os.close(folder)


class ControlServer:
    """Answers commands, one thread each, until `close`."""

    def __init__(self, data_dir: Path, commands: dict[str, Command]) -> None:
        self._commands = commands
        self._path = data_dir / NAME
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with _short_path(data_dir) as path:
                self._socket.bind(path)
        finally:
            os.umask(before)
        self._socket.listen(8)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="control-call", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT_SECONDS)

        def send(body: dict[str, Any]) -> None:
            connection.sendall(msgspec.json.encode(body) + b"\n")

        with connection, connection.makefile("rb") as lines:
            try:
                request = msgspec.json.decode(lines.readline(MAX_LINE))
                command = self._commands[request["command"]]
                send({"result": command(lambda done, of: send({"progress": [done, of]}))})
            except (msgspec.DecodeError, KeyError, TypeError):
                send({"error": "this relay does not know that command; is it an older version?"})
            except RelayError as exc:
                send({"error": exc.message})
            except OSError:
                return


def ask(data_dir: Path, command: str, progress: Progress = lambda _done, _of: None) -> Any:
    """The running relay's answer; None when no relay runs on this data dir. Raises ConfigError with its error."""
    if not (data_dir / NAME).exists():
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(WAIT_SECONDS)
        try:
            with _short_path(data_dir) as path:
                connection.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        connection.sendall(msgspec.json.encode({"command": command}) + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                reply = msgspec.json.decode(line)
                if "progress" in reply:
                    progress(*reply["progress"])
                elif "error" in reply:
                    raise ConfigError(reply["error"])
                else:
                    return reply["result"]
    raise ConfigError("the running relay ended the conversation; look at its log")
