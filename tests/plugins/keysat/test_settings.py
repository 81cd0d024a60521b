"""The settings, checked at the start."""

from __future__ import annotations

import pytest
from relay_keysat import Plugin

from relay.errors import ConfigError
from relay.tables import Table
from tests.plugins.keysat.keys import PEM, PRODUCT

GOOD = {"public_keys": [PEM], "products": {str(PRODUCT): "pro"}}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"public_keys": []}, r"plugins\.keysat\.public_keys: "),
        ({"public_keys": [PEM, "nonsense"]}, r"plugins\.keysat\.public_keys\.1: this is not a PEM block"),
        ({"public_keys": PEM}, r"plugins\.keysat\.public_keys: "),
        ({"products": {}}, r"plugins\.keysat\.products: "),
        ({"products": {"relay": "pro"}}, r"plugins\.keysat\.products\.relay: the name must be the UUID"),
        ({"products": {str(PRODUCT): "pro", PRODUCT.hex: "max"}}, r"there twice"),
        ({"products": {str(PRODUCT): ""}}, r"name the tier"),
        ({"products": {str(PRODUCT): 1}}, r"plugins\.keysat\.products"),
        ({"url": "ftp://licences.example"}, r"plugins\.keysat\.url: the URL must start with http"),
        ({"url": "https://user:pw@licences.example"}, r"plugins\.keysat\.url: "),
        ({"max_stale_hours": -1}, r"plugins\.keysat\.max_stale_hours: "),
        ({"on_unreachable": "allow"}, r"plugins\.keysat\.on_unreachable: "),
        ({"public_key": PEM}, r"plugins\.keysat\.public_key: unknown key"),
    ],
)
def test_a_wrong_setting_is_named(change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Plugin(Table(GOOD | change, "plugins.keysat"))


@pytest.mark.parametrize("missing", GOOD)
def test_keys_and_products_must_be_there(missing):
    with pytest.raises(ConfigError, match=rf"plugins\.keysat\.{missing}: "):
        Plugin(Table({name: value for name, value in GOOD.items() if name != missing}, "plugins.keysat"))


def test_cryptography_is_not_loaded_before_the_first_licence():
    import subprocess
    import sys

    code = (
        "import sys; from relay_keysat import Plugin\n"
        f"Plugin({GOOD!r})\n"
        "print(sorted(name for name in sys.modules if name.startswith('cryptography')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
