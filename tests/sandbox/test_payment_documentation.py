"""What docs/sandbox.md says of BTCPay and Zaprite: its shell example runs, its lists are complete.

Its Python examples run with the others.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.sandbox.test_documentation import TEXT, blocks


@pytest.mark.skipif(shutil.which("curl") is None, reason="the example is for curl")
def test_the_shell_example_sells_and_is_paid(box):
    (script,) = blocks("bash")
    script = script.replace("http://127.0.0.1:8485", box.url)
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=30, check=True)
    paid, confirmed, listed = done.stdout.split('"status":')[1:4]
    assert paid.startswith('"Processing"')
    assert confirmed.startswith('"Settled"')
    assert listed.startswith('"Settled"')
    assert '"clock":' in done.stdout


@pytest.mark.parametrize("name", ["btcpay", "zaprite"])
def test_every_action_fault_and_setting_is_in_the_document(box, name):
    service = box[name]
    about = TEXT[TEXT.index({"btcpay": "## BTCPay", "zaprite": "## Zaprite"}[name]) :]
    settings = type(service.now).__struct_fields__
    assert [word for word in (*service.actions(), *service.faults, *settings) if f"`{word}`" not in about] == []


def test_what_is_printed_for_plugins_toml_has_the_key_and_the_path(box):
    for name in ("btcpay", "zaprite"):
        assert "{url}" in box[name].settings
        assert "api_key" in box[name].settings
