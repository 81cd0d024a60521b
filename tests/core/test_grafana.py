"""docs/grafana-relay.json: every metric and label its panels ask for is in a real scrape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.flows.busy import busy_relay

DASHBOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana-relay.json").read_text())
FROM_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds to everything it scrapes."""
SELECTOR = re.compile(r"\b((?:relay|process)_[a-z_]+)\{([^}]*)\}")
GROUPING = re.compile(r"\bby \(([^)]*)\)")
ROWS = (
    "At a glance",
    "Calls",
    "Credits",
    "Errors",
    "Latency",
    "Queue",
    "Backends",
    "Payment services and webhooks",
    "Storage",
    "Process",
)


def panels() -> list[Any]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """(where it is, PromQL)."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for each in DASHBOARD["annotations"]["list"]:
        if "expr" in each:
            yield each["name"], each["expr"]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """The labels of each sample, by name."""
    with busy_relay(tmp_path_factory.mktemp("relay")) as live:
        text = live.get("/metrics").body.decode()
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_each_metric_is_in_a_scrape(scraped: dict[str, list[dict[str, str]]]) -> None:
    for where, expr in expressions():
        names = SELECTOR.findall(expr)
        assert names, where
        for name, _ in names:
            assert name in scraped, f"{where}: {name}"


def test_each_label_is_one_of_its_metric(scraped: dict[str, list[dict[str, str]]]) -> None:
    for where, expr in expressions():
        selected = SELECTOR.findall(expr)
        known = {label for name, _ in selected for labels in scraped[name] for label in labels}
        asked = {match for _, inside in selected for match in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", inside)}
        grouped = {label.strip() for inside in GROUPING.findall(expr) for label in inside.split(",")}
        assert asked | grouped <= known | FROM_PROMETHEUS, f"{where}: {expr}"


def test_each_legend_names_a_label_of_its_query(scraped: dict[str, list[dict[str, str]]]) -> None:
    for panel in panels():
        for target in panel["targets"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = {label.strip() for inside in GROUPING.findall(target["expr"]) for label in inside.split(",")}
            own = {label for name, _ in SELECTOR.findall(target["expr"]) for each in scraped[name] for label in each}
            assert wanted <= (grouped or own), panel["title"]


def test_each_selected_value_exists(scraped: dict[str, list[dict[str, str]]]) -> None:
    """A regular expression that matches nothing shows an empty panel for ever; some values are rare, and named here."""
    rare = {"5..", "open|half_open", "ok", "/relay/.rail./webhook.*"}
    for where, expr in expressions():
        for name, inside in SELECTOR.findall(expr):
            for label, value in re.findall(r'(\w+)(?:=~|!=|=)"([^"]*)"', inside):
                if label in FROM_PROMETHEUS or value in rare:
                    continue
                assert any(re.fullmatch(value, each.get(label, "")) for each in scraped[name]), where


def test_there_is_a_row_for_each_part() -> None:
    assert tuple(panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row") == ROWS


def test_everything_asks_the_source_that_was_chosen() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_no_two_panels_overlap_or_share_an_id() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_quantiles_keep_the_bounds_of_the_buckets() -> None:
    quantiles = [expr for _, expr in expressions() if "histogram_quantile" in expr]
    assert quantiles
    for expr in quantiles:
        assert "_bucket{" in expr
        assert re.search(r"by \(le\b", expr), expr
