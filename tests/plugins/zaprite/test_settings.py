"""plugins.toml shows every option with its true default, and the table as it stands there works."""

import msgspec
from relay_zaprite import Plugin
from relay_zaprite.settings import Settings

from relay.tables import Table
from tests.plugins.test_shown_settings import shown

SECRETS = {"api_key", "webhook_token"}


def test_every_option_is_shown_with_its_true_default():
    found = shown("plugins.zaprite")
    defaults = msgspec.to_builtins(Settings())
    assert found.keys() == defaults.keys()
    assert {key: value for key, value in found.items() if key not in SECRETS} == {
        key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items() if key not in SECRETS
    }


def test_the_table_as_it_is_shown_starts_without_its_secrets(monkeypatch):
    for name in ("ZAPRITE_API_KEY", "ZAPRITE_WEBHOOK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (rail,) = Plugin(Table(shown("plugins.zaprite"), "plugins.zaprite")).relay_rails()
    assert rail.name == "zaprite"
    assert rail.off()
