"""`relay serve` as a process: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import urllib3

from tests.fake_plugins import BACKEND, install
from tests.flows.processes import BASIC, RelayProcess, relay_process, run_relay, write_config

WAIT = """
    def wait(started, go):
        import os, time
        open(started, "w").close()
        while not os.path.exists(go): time.sleep(0.01)
"""


def get(relay: RelayProcess, path: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", relay.url + path, timeout=10, retries=False)


def can_log_in(relay: RelayProcess, password: str) -> bool:
    reply = urllib3.request("POST", f"{relay.url}/admin/login", json={"password": password}, timeout=30, retries=False)
    assert reply.status in {200, 401}
    return reply.status == 200


def accepts(relay: RelayProcess) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", urllib3.util.parse_url(relay.url).port), timeout=5):
            return True
    except OSError:
        return False


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def taken_port() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def refused_serve(config: Path, data_dir: Path, *args: object, env: dict[str, str] | None = None) -> str:
    """What a `serve` that must not come up says on stderr."""
    done = run_relay("serve", "--config", config, "--data", data_dir, *map(str, args), env=env)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_one_line_accepts_at_once_and_ends_in_order(tmp_path, by):
    with relay_process(BASIC, tmp_path / "data") as relay:
        assert get(relay, "/relay/health").status == 200
        assert get(relay, "/relay/ready").status == 200
        assert relay.stop(by) == 0
        assert relay.lines == [f"relay listening on {relay.url}"]
        assert relay.url.startswith("http://127.0.0.1:")
        assert "Traceback" not in relay.stderr()
    assert not (tmp_path / "data" / "relay.sock").exists()
    assert (tmp_path / "data" / "journal.jsonl").read_bytes() == b""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_call_in_flight_gets_its_answer_before_the_end(tmp_path, by):
    started, go = tmp_path / "started", tmp_path / "go"
    install(
        tmp_path / "site",
        "slow",
        BACKEND.replace("yield Delta(", f"yield wait({str(started)!r}, {str(go)!r}) or Delta(") + WAIT,
    )
    env = {"PYTHONPATH": str(tmp_path / "site")}
    with (
        relay_process(BASIC + "[plugins.slow]\n", tmp_path / "data", env=env) as relay,
        ThreadPoolExecutor() as pool,
    ):
        url, headers = f"{relay.url}/relay/analyze", {"X-Recap-Install-Id": "one"}
        call = pool.submit(urllib3.request, "POST", url, json={"prompt": "hi"}, headers=headers, retries=False)
        wait_for(started.exists)
        relay.process.send_signal(by)
        wait_for(lambda: not accepts(relay))
        assert not call.done()
        go.touch()
        assert call.result(30).json()["result"]["text"] == "hello"
        assert relay.process.wait(30) == 0


def test_two_signals_at_once_are_no_trouble(tmp_path):
    with relay_process(BASIC, tmp_path / "data") as relay:
        for _ in range(20):
            relay.process.send_signal(signal.SIGTERM)
        assert relay.process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it_in_order(tmp_path, number):
    site = tmp_path / "site"
    install(site, "suicidal", f"import os\nos.kill(os.getpid(), {int(number)})\nimport time\ntime.sleep(30)\n")
    config = write_config(BASIC + "[plugins.suicidal]\n", tmp_path / "data")
    done = run_relay("serve", "--config", config, "--data", tmp_path / "data", env={"PYTHONPATH": str(site)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_host_is_taken_from_the_flag_then_the_environment_then_the_file(tmp_path):
    text = '[relay]\nhost = "127.0.0.2"\n' + BASIC
    env = {"RELAY_HOST": "127.0.0.3"}
    for number, (more, args) in {2: ({}, ()), 3: (env, ()), 4: (env, ("--host", "127.0.0.4"))}.items():
        with relay_process(text, tmp_path / "data", env=more, args=args) as relay:
            assert relay.url.startswith(f"http://127.0.0.{number}:")


def test_the_port_is_taken_from_the_flag_then_the_environment_then_the_file(tmp_path):
    """Each of them taken, so that the complaint tells which one was tried."""
    with closing(taken_port()) as a, closing(taken_port()) as b, closing(taken_port()) as c:
        file, env, flag = (listener.getsockname()[1] for listener in (a, b, c))
        config = write_config(f"[relay]\nport = {file}\n" + BASIC, tmp_path / "data")
        said = "port {} on 127.0.0.1 is taken: stop the program that has it, or choose another --port"
        assert said.format(file) in refused_serve(config, tmp_path / "data")
        assert said.format(env) in refused_serve(config, tmp_path / "data", env={"RELAY_PORT": str(env)})
        assert said.format(flag) in refused_serve(
            config, tmp_path / "data", "--port", flag, env={"RELAY_PORT": str(env)}
        )


def test_a_port_in_the_environment_that_is_none_is_wrong_usage(tmp_path):
    done = run_relay("serve", "--config", write_config(BASIC, tmp_path / "data"), env={"RELAY_PORT": "http"})
    assert (done.returncode, done.stdout) == (2, "")


def test_a_host_that_is_not_ours_is_refused(tmp_path):
    config = write_config(BASIC, tmp_path / "data")
    said = refused_serve(config, tmp_path / "data", "--host", "192.0.2.1", "--port", 0)
    assert "host 192.0.2.1 is not an address of this machine" in said
    assert "--host" in refused_serve(config, tmp_path / "data", "--host", "", "--port", 0)


def test_a_data_dir_that_cannot_be_used_is_refused(tmp_path):
    config = write_config(BASIC, tmp_path / "data")
    (tmp_path / "file").touch()
    assert f"data dir {tmp_path}/file: it is a file" in refused_serve(config, tmp_path / "file")
    assert "Not a directory" in refused_serve(config, tmp_path / "file" / "below")
    if sys.platform == "linux":
        assert "--data" in refused_serve(config, Path("/proc/relay-data"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_dir_without_write_permission_is_refused(tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    assert "Permission denied" in refused_serve(write_config(BASIC, tmp_path / "data"), tmp_path / "data")


def test_a_second_relay_on_one_data_dir_is_refused_and_harms_the_first_in_nothing(tmp_path):
    with relay_process(BASIC, tmp_path / "data") as relay:
        said = refused_serve(relay.config, relay.data_dir, "--port", 0)
        assert f"{relay.data_dir} is in use by another relay (process {relay.process.pid})" in said
        assert get(relay, "/relay/ready").status == 200
        done = run_relay("ledger", "verify", "--config", relay.config, "--data", relay.data_dir)
        assert done.returncode == 0
        assert (relay.data_dir / "spool").is_dir()


def test_the_first_start_makes_a_password_shows_it_once_and_keeps_only_its_hash(tmp_path):
    with relay_process(BASIC, tmp_path / "data") as relay:
        (line,) = [line for line in relay.stderr().splitlines() if "admin password" in line]
        password = line.partition("the admin password is ")[2].partition(" ")[0]
        assert len(password) >= 20
        assert can_log_in(relay, password)
        assert not can_log_in(relay, "")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert password.encode() not in kept
    assert b"$argon2id$" in kept
    with relay_process(BASIC, tmp_path / "data") as relay:
        assert relay.stderr().count("admin password") == 1
        assert can_log_in(relay, password)
        assert relay.stderr().count(password) == 1


def test_a_password_of_the_environment_counts_without_any_setting_and_is_never_shown(tmp_path):
    with relay_process(BASIC, tmp_path / "data", env={"RELAY_ADMIN_PASSWORD": "a-password-of-mine"}) as relay:
        assert can_log_in(relay, "a-password-of-mine")
        assert "password is" not in relay.stderr()
        assert "a-password-of-mine" not in relay.stderr()


def test_the_socket_is_the_owners_alone_and_the_data_dir_too(tmp_path):
    with relay_process(BASIC, tmp_path / "data") as relay:
        assert stat.S_IMODE((relay.data_dir / "relay.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE(relay.data_dir.stat().st_mode) == 0o700


def test_a_very_deep_data_dir_works(tmp_path):
    data_dir = tmp_path / ("d" * 120) / ("e" * 120)
    data_dir.parent.mkdir()
    with relay_process(BASIC, data_dir) as relay:
        done = run_relay("ledger", "verify", "--config", relay.config, "--data", data_dir)
        assert (done.returncode, done.stdout) == (0, "balanced: 0 accounts, 0 entries\n")


def test_a_killed_relay_starts_again(tmp_path):
    with relay_process(BASIC, tmp_path / "data") as relay:
        relay.process.kill()
        assert relay.stop() == -signal.SIGKILL
    assert (tmp_path / "data" / "relay.sock").is_socket()
    with relay_process(BASIC, tmp_path / "data") as relay:
        assert get(relay, "/relay/ready").status == 200


def test_warnings_of_the_settings_are_in_the_log_and_not_on_stdout(tmp_path):
    with relay_process('[routing]\nanalyze = ["spark"]\n' + BASIC, tmp_path / "data") as relay:
        assert "routing.analyze: 'spark' is not enabled and is skipped" in relay.stderr()
        relay.stop()
        assert len(relay.lines) == 1


def test_a_row_edited_into_nonsense_is_refused_by_its_name_every_time(tmp_path):
    with relay_process(BASIC, tmp_path / "data") as relay:
        pass
    (relay.data_dir / "credits.json").write_text('{"user:ann":{"purchased_balance":"lots"}}', encoding="utf-8")
    for _ in range(2):
        said = refused_serve(relay.config, relay.data_dir, "--port", 0)
        assert "credits.json: row 'user:ann'" in said
