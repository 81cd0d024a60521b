"""`relay sandbox` as a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import pytest
import tomli
import urllib3


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_what_to_set_and_ends_with_0(by):
    command = [sys.executable, "-m", "relay", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        url = re.fullmatch(r"relay sandbox listening on (http://127\.0\.0\.1:\d+)\n", line)[1]
        reply = urllib3.request("GET", f"{url}/spark/api/status", timeout=10, retries=False)
        assert reply.json()["name"] == "spark-control"
        process.send_signal(by)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    settings = "\n".join(line for line in err.splitlines() if " = " in line or line.startswith("["))
    plugins = tomli.loads(settings)["plugins"]
    assert plugins["spark"]["url"] == f"{url}/spark"
    assert plugins["openai_compatible"]["sandbox"]["base_url"] == f"{url}/openai/v1"
    assert f"{url}/_sandbox" in err


def test_a_port_that_is_taken_ends_with_1_and_a_way_out():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "relay", "sandbox", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_commands_do_not_pay_for_it():
    code = "import sys, relay.cli.main; print([name for name in sys.modules if name.startswith('relay.testing')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
