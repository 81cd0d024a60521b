"""The control socket: how other commands ask a running relay."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from relay.control import AT_ONCE, NAME, ControlServer, ask
from relay.errors import ConfigError, StorageUnavailable


@pytest.fixture
def serving(tmp_path):
    """Serve commands on the data dir of the test; closed at its end."""
    servers = []

    def serving(data_dir=tmp_path, **commands) -> ControlServer:
        servers.append(ControlServer(data_dir, commands))
        return servers[-1]

    yield serving
    for server in servers:
        server.close()


def connect(data_dir) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(data_dir / NAME))
    return connection


def test_a_command_is_answered_with_its_progress_before(tmp_path, serving):
    def count(progress):
        for n in range(3):
            progress(n, 3)
        return {"counted": 3}

    serving(count=count)
    seen = []
    assert ask(tmp_path, "count", lambda done, of: seen.append((done, of))) == {"counted": 3}
    assert seen == [(0, 3), (1, 3), (2, 3)]


def test_an_answer_may_be_large_or_nothing(tmp_path, serving):
    serving(large=lambda _progress: ["x" * 1000] * 5000, nothing=lambda _progress: [])
    assert len(ask(tmp_path, "large")) == 5000
    assert ask(tmp_path, "nothing") == []


def test_without_a_relay_there_is_no_answer(tmp_path):
    assert ask(tmp_path, "count") is None
    assert ask(tmp_path / "gone", "count") is None
    (tmp_path / "file").touch()
    assert ask(tmp_path / "file", "count") is None


def test_a_socket_left_by_a_dead_relay_counts_as_none_and_is_replaced(tmp_path, serving):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as dead:
        dead.bind(str(tmp_path / NAME))
    assert ask(tmp_path, "hello") is None
    serving(hello=lambda _progress: "hello")
    assert ask(tmp_path, "hello") == "hello"


def test_closing_removes_the_socket(tmp_path, serving):
    server = serving(hello=lambda _progress: "hello")
    server.close()
    assert not (tmp_path / NAME).exists()
    assert ask(tmp_path, "hello") is None


def test_only_the_owner_may_ask_whatever_the_umask(tmp_path, serving):
    before = os.umask(0)
    try:
        serving()
        assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
        assert os.umask(0) == 0, "the umask of the process is left alone: other threads make files meanwhile"
    finally:
        os.umask(before)


def test_a_deep_data_dir_has_a_socket_too(tmp_path, serving):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    serving(deep, hello=lambda _progress: "hello")
    assert (deep / NAME).is_socket()
    assert ask(deep, "hello") == "hello"


def test_a_failing_command_is_told_to_the_one_who_asked(tmp_path, serving):
    def fail(_progress):
        raise StorageUnavailable("the disk is gone")

    def surprise(_progress):
        raise ValueError("a bug")

    serving(fail=fail, surprise=surprise)
    with pytest.raises(ConfigError, match="the disk is gone"):
        ask(tmp_path, "fail")
    with capture_logs() as logged, pytest.raises(ConfigError, match="the running relay failed: ValueError: a bug"):
        ask(tmp_path, "surprise")
    assert [(entry["log_level"], entry["exc_info"]) for entry in logged] == [("error", True)]


def test_an_unknown_command_says_that_versions_may_differ(tmp_path, serving):
    serving()
    with pytest.raises(ConfigError, match="does not know that command"):
        ask(tmp_path, "dance")


@pytest.mark.parametrize(
    "said", [b"rubbish\n", b"[]\n", b'{"command": 5}\n', b'{"command": {}}\n', b"\n", b"x" * 70_000]
)
def test_rubbish_is_answered_and_harms_nobody(tmp_path, serving, said):
    serving(hello=lambda _progress: "hello")
    with connect(tmp_path) as connection, connection.makefile("rb") as lines:
        connection.sendall(said)
        assert "error" in json.loads(lines.readline())
    assert ask(tmp_path, "hello") == "hello"


def test_one_who_hangs_up_stops_the_command_and_frees_the_place(tmp_path, serving):
    ended = threading.Semaphore(0)

    def endless(progress):
        try:
            while True:
                progress(1, 2)
        finally:
            ended.release()

    serving(endless=endless, hello=lambda _progress: "hello")
    for _ in range(2 * AT_ONCE):
        with connect(tmp_path) as connection:
            connection.sendall(b'{"command":"endless"}\n')
        assert ended.acquire(timeout=10)
    assert ask(tmp_path, "hello") == "hello"


def test_at_most_eight_commands_run_at_once(tmp_path, serving):
    running, most, lock, go_on = 0, 0, threading.Lock(), threading.Event()

    def slow(_progress):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if running == AT_ONCE:
            go_on.set()
        go_on.wait(10)
        with lock:
            running -= 1
        return True

    serving(slow=slow)
    askers = [threading.Thread(target=ask, args=(tmp_path, "slow")) for _ in range(AT_ONCE + 4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(20)
    assert most == AT_ONCE


def test_a_relay_that_hangs_up_or_says_rubbish_is_a_complaint(tmp_path):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        listener.bind(str(tmp_path / NAME))
        listener.listen(1)
        for said, told in ((b"", "ended the conversation"), (b"rubbish\n", "did not answer")):

            def say(said=said):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(said)

            other = threading.Thread(target=say)
            other.start()
            with pytest.raises(ConfigError, match=told):
                ask(tmp_path, "hello")
            other.join(10)


def test_a_socket_that_cannot_be_made_is_a_complaint(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(ConfigError, match=r"relay\.sock: cannot be made"):
        ControlServer(tmp_path, {})
