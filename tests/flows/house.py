"""A relay with packages, tiers, keys and an operator at the desk, for tests of what the operator does."""

from __future__ import annotations

import itertools
from typing import Any

from tests.flows.fake_rail import SECRET, FakeRail
from tests.flows.live import OPERATOR, Live, Reply

MORE = """
[plugins.api_key]
"""
SHOP = """
[[packages]]
id = "small"
credits = 20
price = "5.00"
currency = "USD"
[tiers.core]
lifetime_credits = 10
[tiers.pro]
monthly_credits = 50
price = "5.00"
[reconcile]
initial_delay_seconds = 0
interval_seconds = 3600
"""
WHY = {"reason": "asked for by mail"}
NUMBERS = itertools.count()


def give(live: Live, name: str, amount: int = 5) -> str:
    reply = live.call("POST", f"/relay/users/{name}/credits", headers=OPERATOR, json={"amount": amount})
    assert reply.status == 200, reply.body
    return f"user:{name}"


def post(live: Live, key: str, action: str, headers: dict[str, str] | None = None, **body: Any) -> Reply:
    session = live.session | (headers or {})
    return live.call("POST", f"/admin/credits/{key}/{action}", headers=session, json=WHY | body)


def account(live: Live, key: str) -> Any:
    reply = live.get(f"/admin/credits/{key}", live.session)
    assert reply.status == 200, reply.body
    return reply.json["account"]


def last_audit(live: Live, action: str) -> Any:
    rows = live.get(f"/admin/audit?q={action}&limit=1", live.session).json["rows"]
    return rows[0] if rows else None


def bought(live: Live, rail: FakeRail, who: dict[str, str], **body: Any) -> str:
    reply = live.call("POST", "/relay/credits/checkout", headers=who, json={"package": "small"} | body)
    assert reply.status == 201, reply.body
    return next(number for number, made in rail.invoices.items() if made.order_id == reply.json["invoice"]["id"])


def deliver(live: Live, number: str) -> Reply:
    headers = {"X-Fake-Secret": SECRET, "Content-Type": "application/json"}
    return live.call("POST", "/relay/fake/webhook", headers=headers, json={"invoice": number})
