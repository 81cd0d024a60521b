"""`DIR/relay.sock`: how the other commands ask a running relay. One JSON line in, JSON lines out.

A request is `{"command": name}`, with `"args": {name: value}` for a command that takes some. The answers are any
number of `{"progress": [done, of]}`, then one `{"result": …}` or `{"error": message}`. The socket's mode is 0600: who
owns the data dir may ask.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog

from relay.errors import ConfigError, RelayError

log = structlog.get_logger("relay.control")
NAME = "relay.sock"
MAX_LINE = 64 * 1024
REQUEST_SECONDS = 10
ANSWER_SECONDS = 600
AT_ONCE = 8
BACKLOG = 64

Progress = Callable[[int, int], None]
Command = Callable[..., Any]
"""Takes a Progress, and what else it needs by name. A wrong argument is its own to refuse."""


class Request(msgspec.Struct):
    command: str
    args: dict[str, Any] = {}


@contextlib.contextmanager
def _short_path(data_dir: Path) -> Iterator[str]:
    """A path to the socket that fits the 107 bytes a socket's name may have, however deep the data dir is."""
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        proc = f"/proc/self/fd/{folder}"
        yield f"{proc}/{NAME}" if Path(proc).exists() else str(data_dir / NAME)
    finally:
        os.close(folder)


class ControlServer:
    """Answers commands, at most eight at once and one thread each, until `close`. Raises ConfigError."""

    def __init__(self, data_dir: Path, commands: dict[str, Command]) -> None:
        self._commands = commands
        self._path = data_dir / NAME
        self._closed = threading.Event()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            # Linux takes the mode of the new file from here, so that it is private from its first moment.
            with contextlib.suppress(OSError):
                os.fchmod(self._socket.fileno(), 0o600)
            with _short_path(data_dir) as path:
                self._socket.bind(path)
            self._path.chmod(0o600)
            # More than are served at once, so that the next ones hear why they are not.
            self._socket.listen(BACKLOG)
        except OSError as exc:
            self._socket.close()
            raise ConfigError(f"{self._path}: cannot be made: {exc.strerror or exc}") from None
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            self._places.acquire()
            try:
                connection, _ = self._socket.accept()
            except OSError as exc:
                self._places.release()
                # Out of file descriptors, perhaps: asking again at once would spin.
                if not self._closed.wait(1):
                    log.warning("control_socket", error=str(exc))
                continue
            threading.Thread(target=self._serve, args=(connection,), name="control-call", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            # Whoever asked may be gone before the answer.
            with connection, contextlib.suppress(OSError):
                self._answer(connection)
        finally:
            self._places.release()

    def _answer(self, connection: socket.socket) -> None:
        def send(body: dict[str, Any]) -> None:
            connection.sendall(msgspec.json.encode(body) + b"\n")

        connection.settimeout(REQUEST_SECONDS)
        with connection.makefile("rb") as lines:
            line = lines.readline(MAX_LINE)
        connection.settimeout(ANSWER_SECONDS)
        try:
            request = msgspec.json.decode(line, type=Request)
            command = self._commands[request.command]
        except (msgspec.DecodeError, LookupError):
            send({"error": "this relay does not know that command; is it another version?"})
            return
        try:
            send({"result": command(lambda done, of: send({"progress": [done, of]}), **request.args)})
        except RelayError as exc:
            send({"error": exc.message})
        except OSError:
            raise
        except Exception as exc:
            log.exception("control_command_failed")
            send({"error": f"the running relay failed: {type(exc).__name__}: {exc}"})


def ask(data_dir: Path, command: str, progress: Progress = lambda _done, _of: None, **args: Any) -> Any:
    """The running relay's answer; None when no relay runs on this data dir. Raises ConfigError with its error."""
    path = data_dir / NAME
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            with _short_path(data_dir) as short:
                connection.connect(short)
        except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise ConfigError(f"{path}: cannot ask the running relay: {exc.strerror or exc}") from None
        try:
            connection.sendall(msgspec.json.encode({"command": command, "args": args}) + b"\n")
            with connection.makefile("rb") as lines:
                return _result(lines, progress)
        except (OSError, msgspec.DecodeError) as exc:
            raise ConfigError(f"{path}: the running relay did not answer: {exc}. Look at its log") from None


def _result(lines: Iterator[bytes], progress: Progress) -> Any:
    for line in lines:
        reply = msgspec.json.decode(line)
        if "result" in reply:
            return reply["result"]
        if "error" in reply:
            raise ConfigError(reply["error"])
        progress(*reply["progress"])
    raise ConfigError("the running relay ended the conversation; look at its log")
