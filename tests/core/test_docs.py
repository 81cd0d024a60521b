"""What the documents say is so."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from relay.settings import (
    EventSettings,
    JobSettings,
    LimitSettings,
    OutputSettings,
    PromptSettings,
    ReconcileSettings,
    RelaySettings,
    RetentionSettings,
    RoutingSettings,
    TierSettings,
)

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def requirements():
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras["local"], *extras["dev"]]:
        yield re.match(r"[A-Za-z0-9._-]+", line)[0], line


@pytest.mark.parametrize(("name", "line"), list(requirements()))
def test_every_dependency_is_pinned_to_a_range_and_has_a_reason(name, line):
    assert re.search(r"==[\d.]+$|>=[\d.]+,<[\d.]+$", line), f"{line} has no upper bound"
    assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", (ROOT / "docs" / "dependencies.md").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_changelog_has_the_version_of_the_package():
    import relay

    assert f"## {relay.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_plugin_is_packaged():
    found = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {path.partition("/")[2] for path in packages if "/" in path} == found
    points = PROJECT["entry-points"]["relay.plugins"].values()
    assert {point.partition(":")[0] for point in points} == found


OPTIONS = {
    "relay": RelaySettings,
    "tiers.core": TierSettings,
    "jobs": JobSettings,
    "routing": RoutingSettings,
    "limits": LimitSettings,
    "retention": RetentionSettings,
    "outputs": OutputSettings,
    "reconcile": ReconcileSettings,
    "prompts": PromptSettings,
    "events": EventSettings,
}


@pytest.mark.parametrize(("section", "kind"), OPTIONS.items())
def test_the_settings_file_shows_every_option(section, kind):
    text = (ROOT / "plugins.toml").read_text()
    shown = set(re.findall(r"^#? ?([a-z_]+) = ", text, re.MULTILINE))
    missing = set(kind.__struct_fields__) - shown
    assert not missing, f"[{section}] in plugins.toml does not show {missing}"
    defaults = msgspec.structs.asdict(kind())
    for name, value in re.findall(r'^# ([a-z_]+) = (\[.*?\]|".*"|\S+)', section_of(text, section), re.MULTILINE):
        if name in defaults and defaults[name] is not None:
            told = tomllib.loads(f"x = {value}")["x"]
            assert defaults[name] == (tuple(told) if isinstance(told, list) else told), f"the default of {name}"


def section_of(text, section):
    return text.split(f"\n[{section}]\n", 1)[1].split("\n[", 1)[0]
