"""plugins.toml shows every option of these plugins with its true default."""

import re
from pathlib import Path

import msgspec
import pytest
import tomli
from relay_keysat.settings import Settings as Keysat
from relay_openai_compatible.settings import Settings as OpenAICompatible
from relay_spark.settings import DEFAULT_PATHS, PATH_SETTINGS
from relay_spark.settings import Settings as Spark

TEXT = (Path(__file__).parents[2] / "plugins.toml").read_text(encoding="utf-8")
SECRETS = {"token", "api_key"}


def shown(table):
    block = TEXT.partition(f"# [{table}]\n")[2].partition("\n\n")[0]
    return tomli.loads(re.sub(r"(?m)^# ", "", block))


@pytest.mark.parametrize(
    ("table", "kind"),
    [("plugins.spark", Spark), ("plugins.openai_compatible.vllm", OpenAICompatible), ("plugins.keysat", Keysat)],
)
def test_every_option_is_shown_with_its_true_default(table, kind):
    paths = {name: DEFAULT_PATHS[task] for task, name in PATH_SETTINGS.items()} if kind is Spark else {}
    found = shown(table)
    for field in msgspec.structs.fields(kind):
        assert field.name in found
        if field.required or field.name in SECRETS:
            continue
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        assert found[field.name] == paths.get(field.name, list(default) if isinstance(default, tuple) else default)
    assert found.keys() == {field.name for field in msgspec.structs.fields(kind)}
