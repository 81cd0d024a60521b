"""The table [plugins.btcpay]: what it takes, and that plugins.toml shows all of it."""

import re
from pathlib import Path

import msgspec
import pytest
import tomli
from relay_btcpay import Plugin
from relay_btcpay.settings import Settings

from relay.api import ConfigError
from relay.tables import Table

TEXT = (Path(__file__).parents[3] / "plugins.toml").read_text(encoding="utf-8")
SECRETS = {"url": "BTCPAY_URL", "api_key": "BTCPAY_API_KEY", "webhook_secret": "BTCPAY_WEBHOOK_SECRET"}


def make(**settings):
    plugin = Plugin(Table(settings, "plugins.btcpay"))
    (rail,) = plugin.relay_rails()
    return rail


def test_every_option_is_shown_with_its_true_default():
    block = TEXT.partition("# [plugins.btcpay]\n")[2].partition("\n\n")[0]
    found = tomli.loads(re.sub(r"(?m)^# ", "", block))
    shown = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    assert found == shown | {name: {"env": variable} for name, variable in SECRETS.items()}


def test_unset_secrets_and_an_empty_address_switch_the_rail_off(monkeypatch):
    for variable in SECRETS.values():
        monkeypatch.delenv(variable, raising=False)
    rail = make(**{name: {"env": variable} for name, variable in SECRETS.items()})
    assert "url is not set" in rail.off()
    assert make(url="").off() == rail.off()
    rail.close()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"url": "btcpay.example"}, "url must be a plain address"),
        ({"url": "ftp://h"}, "url must be a plain address"),
        ({"url": "https://u:p@h"}, "url must be a plain address"),
        ({"url": "https://h/?a=b"}, "url must be a plain address"),
        ({"url": "https://h:x"}, "url must be a plain address"),
        ({"url": "https://h", "public_url": "//h"}, "public_url must be a plain address"),
        ({"url": "https://h", "api_key": "se\ncret"}, "api_key"),
        ({"store_id": "a/b"}, "store_id"),
        ({"speed_policy": "HighSpeed"}, "speed_policy"),
        ({"monitoring_minutes": 1}, "monitoring_minutes"),
        ({"urll": "x"}, "urll: unknown key"),
    ],
)
def test_a_setting_that_cannot_work_stops_the_start_and_is_named(settings, complaint):
    with pytest.raises(ConfigError, match=re.escape(complaint)) as failure:
        make(**settings)
    assert failure.value.message.startswith("plugins.btcpay")
    assert "secret" not in failure.value.message.replace("webhook_secret", "")
