"""A log nobody reads any more, or a full one, takes nothing from callers and nothing from the books."""

import os
import subprocess
import sys

import pytest
import urllib3

from tests.flows.processes import BASIC, environment, write_config
from tests.loopback import Server, json_reply

SETTINGS = BASIC + '[plugins.spark]\nurl = "URL"\nmodel = "m"\n'
WHO = {"X-Recap-Install-Id": "someone"}


def answer(_request):
    choice = {"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return json_reply({"choices": [choice], "model": "m"})


def closed_pipe():
    """The writing end of a pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize("make", [closed_pipe, lambda: os.open("/dev/full", os.O_WRONLY)], ids=["closed", "full"])
def test_calls_are_answered_and_charged_and_the_end_is_orderly(tmp_path, make):
    with Server(answer) as upstream:
        config = write_config(SETTINGS.replace("URL", upstream.url), tmp_path / "data")
        command = [
            sys.executable,
            "-m",
            "relay",
            "serve",
            "--config",
            config,
            "--data",
            tmp_path / "data",
            "--port",
            "0",
        ]
        stderr, env = make(), environment({"RELAY_ADMIN_PASSWORD": "for this test"})
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=env)
        os.close(stderr)
        try:
            url = process.stdout.readline().decode().split("listening on ")[1].strip()
            reply = urllib3.request("POST", f"{url}/relay/analyze", json={"prompt": "well?"}, headers=WHO)
            assert (reply.status, reply.json()["credits"]["charged"]) == (200, 1)
        finally:
            process.terminate()
            assert process.wait(60) == 0
            process.stdout.close()


def test_a_first_password_that_cannot_be_shown_is_not_stored(tmp_path):
    config = write_config(BASIC, tmp_path / "data")
    command = [sys.executable, "-m", "relay", "serve", "--config", config, "--data", tmp_path / "data", "--port", "0"]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        refused = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=full, env=environment({}), timeout=60, check=False
        )
    assert refused.returncode == 1
    assert refused.stdout == b""
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({}))
    again.stdout.readline()
    again.terminate()
    _, err = again.communicate(timeout=60)
    assert b"the admin password is" in err
