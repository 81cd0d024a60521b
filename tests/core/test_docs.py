"""What the documents say is so."""

import re
import tomllib
from pathlib import Path

import pytest

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
