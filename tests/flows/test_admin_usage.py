"""`GET /admin/usage` and the CSV files: what was counted, by hour and day."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from relay.domain.instants import utcnow
from relay.errors import UpstreamFailed
from relay.services.csv_export import written
from tests.flows.fake_rail import FakeRail
from tests.flows.live import FakeBackend, Live, assert_error, eventually, running
from tests.flows.test_money import SHOP, bought, deliver

HOSTILE = {"two": "=2+5|' /C calc'!A0", "three": "@import", "broken": "\tbroken"}
"""What no caller can be called today, in case one can some day."""


def rename(tx: Any) -> None:
    for key, job in tx.scan("jobs", limit=100):
        tx.put("jobs", key, job | {"name": HOSTILE.get(job["name"], job["name"])})


@pytest.fixture(scope="module")
def live(tmp_path_factory: Any) -> Iterator[Live]:
    """4 answers, one of them free, 1 failure, 1 sale; hostile names."""
    backend, rail = FakeBackend(), FakeRail()
    with running(tmp_path_factory.mktemp("usage"), [backend], settings=SHOP, rails=[rail]) as relay:
        relay.transcribe("inst-1", "j")
        relay.transcribe("inst-1", "j")
        relay.analyze("inst-1", "two")
        relay.analyze("inst-2", "three")
        backend.fail = UpstreamFailed('-1+1,"quoted"\r\nand more')
        assert relay.analyze("inst-1", "broken").status == 502
        backend.fail = None
        relay.core.storage.transact(rename)
        bought(relay)
        rail.pay("inv1")
        assert deliver(relay).status == 200
        eventually(lambda: (relay.row("inst:i") or {}).get("purchased_balance") == 20)
        yield relay


@pytest.fixture(scope="module")
def admin(live: Live) -> dict[str, str]:
    return live.login()


def table(live: Live, admin: dict[str, str], what: str, query: str = "") -> list[dict[str, str]]:
    reply = live.get(f"/admin/dashboard.csv?what={what}&{query}", admin)
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"].startswith("text/csv")
    assert f'filename="relay-{what}.csv"' in reply.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))


@pytest.mark.parametrize("by", ["hour", "day"])
def test_the_figures_are_what_happened(live: Live, admin: dict[str, str], by: str) -> None:
    seen = live.get(f"/admin/usage?by={by}", admin).json
    assert (seen["by"], len(seen["rows"])) == (by, 48 if by == "hour" else 30)
    whole = seen["totals"]
    assert (whole["calls"], whole["charged"], whole["free"], whole["failed"]) == (5, 3, 1, 1)
    assert (whole["tasks"], whole["backends"]) == ({"transcribe": 2, "analyze": 3}, {"fake": 4})
    assert whole["errors"] == {"upstream_failed": 1}
    assert (whole["sold"], whole["money"], whole["orders"], whole["new_accounts"]) == (20, {"USD": "5.00"}, 1, 3)
    assert whole["audio_seconds"] == 2.0
    assert whole["p50_ms"] is not None
    assert sum(row["calls"] for row in seen["rows"]) == 5
    assert [row["at"] for row in seen["rows"]] == sorted(row["at"] for row in seen["rows"])


def test_a_range_is_what_was_asked_for(live: Live, admin: dict[str, str]) -> None:
    seen = live.get("/admin/usage?by=day&from=2026-01-30&to=2026-02-02T12:00:00Z", admin).json
    assert [row["at"][:10] for row in seen["rows"]] == ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]
    seen = live.get("/admin/usage?by=hour&from=2026-01-31&to=2026-01-31", admin).json
    assert len(seen["rows"]) == 24
    zoned = live.get("/admin/usage?by=hour&from=2026-01-31T01:00:00%2B02:00&to=2026-01-31", admin).json
    assert zoned["rows"][0]["at"] == "2026-01-30T23:00:00Z"


@pytest.mark.parametrize(
    "query",
    [
        "by=minute",
        "from=x",
        "to=2026-02-30",
        "from=2026-02-01&to=2026-01-01",
        "by=hour&from=2025-01-01&to=2026-01-01",
        "by=day&from=2001-01-01&to=2999-01-01",
        "from=9999-12-31T23:59:59-12:00",
        "from=-1",
        "from=2026-01-01%27+or+1",
    ],
)
def test_a_range_that_makes_no_sense_is_refused(live: Live, admin: dict[str, str], query: str) -> None:
    assert_error(live.get(f"/admin/usage?{query}", admin), 400, "bad_request")
    assert_error(live.get(f"/admin/dashboard.csv?what=usage&{query}", admin), 400, "bad_request")


def test_the_usage_file_has_the_same_figures(live: Live, admin: dict[str, str]) -> None:
    rows = table(live, admin, "usage", "by=hour")
    assert len(rows) == 48
    assert sum(int(row["charged"]) for row in rows) == 3
    busy = next(row for row in rows if row["money"])
    assert (busy["money"], busy["errors"]) == ("USD 5.00", "upstream_failed 1")


def test_no_cell_is_a_formula_for_a_spreadsheet(live: Live, admin: dict[str, str]) -> None:
    for what in ("usage", "credits", "jobs", "payments"):
        body = live.get(f"/admin/dashboard.csv?what={what}", admin).body.decode()
        cells = [cell for row in csv.reader(io.StringIO(body, newline="")) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    names = {row["name"] for row in table(live, admin, "jobs")}
    assert {f"'{name}" for name in HOSTILE.values()} <= names
    broken = next(row for row in table(live, admin, "jobs") if row["error_code"])
    assert broken["error_message"] == '\'-1+1,"quoted"\r\nand more'


def test_accounts_and_payments_are_all_there(live: Live, admin: dict[str, str]) -> None:
    accounts = {row["credit_key"]: row for row in table(live, admin, "credits")}
    assert accounts.keys() == {"inst:inst-1", "inst:inst-2", "inst:i"}
    assert accounts["inst:i"]["purchased"] == "20"
    (payment,) = table(live, admin, "payments")
    assert (payment["account"], payment["amount"], payment["state"]) == ("inst:i", "5.00", "settled")
    assert table(live, admin, "payments", "to=2001-01-01") == []
    today = utcnow().date().isoformat()
    assert len(table(live, admin, "jobs", f"from={today}")) == len(table(live, admin, "jobs")) == 4


def test_files_are_bounded_and_asked_for_by_name(live: Live, admin: dict[str, str]) -> None:
    assert_error(live.get("/admin/dashboard.csv?what=secrets", admin), 400, "bad_request")
    too_long = "from=2020-01-01&to=2026-01-01"
    assert_error(live.get(f"/admin/dashboard.csv?what=jobs&{too_long}", admin), 400, "bad_request")
    assert_error(live.get("/admin/dashboard.csv?what=credits"), 401, "unauthenticated")


def test_a_long_file_comes_whole(live: Live, admin: dict[str, str]) -> None:
    def many(tx: Any) -> None:
        row = tx.get("credits", "inst:i")
        for n in range(950):
            tx.put("credits", f"user:many-{n:04}", row)

    live.core.storage.transact(many)
    names = [row["credit_key"] for row in table(live, admin, "credits")]
    assert len(names) == len(set(names)) == 953


def test_a_text_stays_one_cell_where_a_spreadsheet_separates_by_semicolons() -> None:
    """Else its second half would be a cell of its own, and may begin like a formula."""
    assert b"".join(written(["email", "n"], [[["x;=1+1@x", 5]]])) == b'"email","n"\r\n"x;=1+1@x",5\r\n'
