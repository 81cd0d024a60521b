"""Money in: whatever the network and the rail do, one payment is one grant."""

import json
import threading

import pytest

from relay.domain.money import money
from relay.errors import RailFailed, RailOutcomeUnknown, RailUnavailable
from tests.flows.fake_backend import FakeBackend
from tests.flows.fake_rail import SECRET, FakeRail
from tests.flows.live import assert_error, at_once, eventually, install, running, user

SHOP = """
[[packages]]
id = "small"
credits = 20
price = "5.00"
currency = "USD"
[reconcile]
initial_delay_seconds = 0
interval_seconds = 3600
"""


@pytest.fixture
def rail():
    return FakeRail()


@pytest.fixture
def shop(tmp_path, rail):
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        yield live
        live.assert_balanced()


def buy(live, who=None, **body):
    return live.call("POST", "/relay/credits/checkout", headers=who or install("i"), json={"package": "small"} | body)


def bought(live, who=None, **body):
    reply = buy(live, who, **body)
    assert reply.status == 201, reply.body
    return reply.json["invoice"]


def deliver(live, invoice="inv1", secret=SECRET, rail="fake", **body):
    headers = {"X-Fake-Secret": secret, "Content-Type": "application/json"}
    return live.call("POST", f"/relay/{rail}/webhook", headers=headers, json={"invoice": invoice} | body)


def invoice(live, order, who=None):
    reply = live.get(f"/relay/invoices/{order}", who or install("i"))
    assert reply.status == 200, reply.body
    return reply.json["invoice"]


def age(live, order, **fields):
    """Change a stored order, as time passing would have."""
    live.core.storage.transact(lambda tx: tx.put("orders", order, {**tx.get("orders", order), **fields}))


def test_a_checkout_is_an_order_of_ours_and_an_invoice_of_theirs(shop, rail) -> None:
    sold = bought(shop, email="buyer@example.com", redirect_url="https://app.example/back")
    assert sold["status"] == "pending"
    assert sold["fulfilled"] is False
    assert (sold["amount"], sold["currency"], sold["rail"]) == ("5.00", "USD", "fake")
    assert sold["checkout_url"] == "https://pay.example/inv1"
    assert sold["expires_at"]
    assert rail.sold[0].order_id == sold["id"]
    assert rail.sold[0].amount == money("5.00", "USD")
    assert shop.row("inst:i") is None, "a checkout makes no row"
    assert invoice(shop, sold["id"])["id"] == sold["id"]
    assert_error(shop.get(f"/relay/invoices/{sold['id']}", install("j")), 404, "not_found")
    assert [one["id"] for one in shop.get("/relay/invoices", install("i")).json["invoices"]] == [sold["id"]]


def test_a_webhook_credits_what_the_rail_says_is_paid(shop, rail) -> None:
    sold = bought(shop)
    rail.pay("inv1")
    reply = deliver(shop)
    assert reply.json == {"ok": True, "invoiceId": "inv1"}
    assert shop.credits("i")["purchased"] == 20
    assert invoice(shop, sold["id"])["status"] == "settled"
    assert invoice(shop, sold["id"])["fulfilled"] is True
    entry = shop.entries("inst:i")[-1]
    assert (entry["kind"], entry["amount"], entry["reference"], entry["actor"]) == (
        "purchase",
        20,
        sold["id"],
        "rail:fake",
    )
    assert deliver(shop).json == {"ok": True, "invoiceId": "inv1", "ignored": "already_processed"}
    assert shop.core.storage.read(lambda tx: tx.get("processed-webhooks", "fake-store|inv1"))


def test_32_copies_at_once_are_one_grant(shop, rail) -> None:
    bought(shop)
    rail.pay("inv1")
    replies = at_once(32, lambda _: deliver(shop))
    assert {reply.status for reply in replies} == {200}
    eventually(lambda: shop.credits("i")["purchased"] == 20)
    assert sum(entry["kind"] == "purchase" for entry in shop.entries("inst:i")) == 1


def test_webhook_reconciler_rescan_and_return_page_in_one_instant_are_one_grant(shop, rail) -> None:
    sold = bought(shop)
    rail.pay("inv1")
    page = sold["pay_url"].partition("8484")[2]
    acts = [
        lambda: deliver(shop),
        shop.core.till.reconciler.all,
        lambda: shop.core.till.reconciler.rescan("fake"),
        lambda: shop.get(page),
    ]
    at_once(16, lambda n: acts[n % 4]())
    eventually(lambda: shop.credits("i")["purchased"] == 20)
    assert sum(entry["kind"] == "purchase" for entry in shop.entries("inst:i")) == 1


def test_copies_after_a_restart_grant_nothing(tmp_path, rail) -> None:
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        bought(live)
        rail.pay("inv1")
        deliver(live)
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        assert deliver(live).json["ignored"] == "already_processed"
        assert live.credits("i")["purchased"] == 20


def test_a_forged_delivery_is_401_and_asks_nobody(shop, rail) -> None:
    bought(shop)
    assert_error(deliver(shop, secret="guess"), 401, "bad_signature")
    assert rail.calls["fetch"] == 0


def test_a_true_signature_over_a_lie_grants_nothing(shop) -> None:
    bought(shop)
    assert deliver(shop, type="paid").json["ignored"] == "not_settled"
    assert shop.credits("i")["purchased"] == 0


def test_foreign_unknown_and_empty_deliveries_are_answered_200_and_ask_nobody(shop, rail) -> None:
    bought(shop)
    assert deliver(shop, "somebody-elses").json["ignored"] == "unknown_invoice"
    assert deliver(shop, type="other").json["ignored"] == "event_type"
    reply = shop.call("POST", "/relay/fake/webhook", headers={"X-Fake-Secret": SECRET}, json={})
    assert reply.json["ignored"] == "no_order_id"
    assert rail.calls["fetch"] == 0


def test_unknown_rails_large_and_unreadable_bodies_are_refused(shop) -> None:
    assert_error(deliver(shop, rail="nobody"), 404, "not_found")
    headers = {"X-Fake-Secret": SECRET}
    assert_error(shop.call("POST", "/relay/fake/webhook", b"nonsense", headers), 400, "bad_request")
    assert shop.call("POST", "/relay/fake/webhook", b"x" * (256 * 1024 + 1), headers).status == 413


def test_a_payment_whose_webhook_never_comes_is_found_by_the_reconciler(shop, rail) -> None:
    bought(shop)
    rail.pay("inv1")
    assert shop.core.till.reconciler.tick().granted == 1
    assert shop.credits("i")["purchased"] == 20


def test_a_hanging_rail_does_not_keep_the_sender_waiting(shop, rail) -> None:
    bought(shop)
    rail.pay("inv1")
    rail.gate = threading.Event()
    assert deliver(shop).json["ignored"] == "checking"
    rail.gate.set()
    eventually(lambda: shop.credits("i")["purchased"] == 20)


@pytest.mark.parametrize("failure", [RailUnavailable("down"), RailFailed("no"), KeyError("secret")])
def test_while_the_rail_is_down_nothing_is_lost(shop, rail, failure) -> None:
    sold = bought(shop)
    rail.pay("inv1")
    rail.fail = failure
    assert deliver(shop).json["ignored"] == "checking"
    assert shop.core.till.reconciler.all().failed == 1
    rail.fail = None
    assert shop.core.till.reconciler.all().granted == 1
    assert invoice(shop, sold["id"])["fulfilled"]


def test_a_checkout_whose_answer_was_lost_is_found_and_adopted(shop, rail) -> None:
    rail.lose = RailOutcomeUnknown("lost")
    reply = buy(shop)
    assert_error(reply, 502, "outcome_unknown", "rail")
    order = reply.error["details"]["invoice"]
    rail.lose = None
    shop.core.till.reconciler.all()
    assert invoice(shop, order)["checkout_url"] == "https://pay.example/inv1"
    rail.pay("inv1")
    deliver(shop)
    assert shop.credits("i")["purchased"] == 20
    assert rail.calls["create"] == 1


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (RailUnavailable("node not synced: secret"), 503, "upstream_unavailable"),
        (RailFailed("secret"), 502, "upstream_failed"),
    ],
)
def test_a_refused_checkout_says_so_without_the_rails_own_words(shop, rail, failure, status, code) -> None:
    rail.fail = failure
    reply = buy(shop)
    assert_error(reply, status, code, "rail")
    assert b"secret" not in reply.body
    (order,) = shop.get("/relay/invoices", install("i")).json["invoices"]
    assert order["status"] == "invalid"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": money("4.99", "USD")}, "amount_drift"),
        ({"amount": money("5.00", "EUR")}, "amount_drift"),
        ({"amount": None}, "amount_unknown"),
        ({"store": "another"}, "another_store"),
        ({"order_id": "ord_x"}, "another_order"),
        ({"status": "late", "word": "Expired/PaidLate"}, "paid_late"),
        ({"status": "underpaid", "word": "Expired/PaidPartial"}, "underpaid"),
    ],
)
def test_what_does_not_fit_goes_under_review_and_grants_nothing(shop, rail, change, reason) -> None:
    sold = bought(shop)
    rail.pay("inv1")
    rail.change("inv1", **change)
    assert deliver(shop).json["ignored"] == "not_settled"
    assert invoice(shop, sold["id"])["status"] == "review"
    assert shop.credits("i")["purchased"] == 0
    (row,) = shop.get("/admin/payments?state=review", shop.login()).json["payments"]
    assert row["review"]["reason"] == reason
    assert row["review"]["invoice_id"] == "inv1"


def test_an_unknown_word_closes_nothing(shop, rail) -> None:
    sold = bought(shop)
    rail.change("inv1", status="unknown", word="Teleported")
    deliver(shop)
    assert invoice(shop, sold["id"])["status"] == "pending"
    rail.pay("inv1")
    assert deliver(shop).json == {"ok": True, "invoiceId": "inv1"}


def test_a_late_event_does_not_move_a_settled_order_back(shop, rail) -> None:
    sold = bought(shop)
    rail.pay("inv1")
    deliver(shop)
    rail.change("inv1", status="processing", word="Processing")
    deliver(shop)
    shop.core.till.checks.now(sold["id"])
    assert invoice(shop, sold["id"])["status"] == "settled"


def test_a_reversal_takes_back_what_is_left_and_shows_the_rest_as_owed(shop, rail) -> None:
    sold = bought(shop)
    rail.pay("inv1")
    rail.change("inv1", marked=True)
    deliver(shop)
    for _ in range(13):
        shop.analyze("i")
    assert shop.credits("i")["purchased"] == 17
    rail.change("inv1", status="invalid", word="Invalid/Marked")
    deliver(shop)
    eventually(lambda: shop.credits("i")["purchased"] == 0)
    (row,) = shop.get("/admin/payments?state=review", shop.login()).json["payments"]
    assert (row["reversed"], row["owed"]) == (17, 3)
    assert shop.row("inst:i")["owed"] == 3
    shop.core.till.checks.now(sold["id"])
    assert shop.row("inst:i")["owed"] == 3


def test_an_expired_order_paid_months_later_is_found_by_rescan_once(shop, rail) -> None:
    sold = bought(shop)
    rail.change("inv1", status="expired", word="Expired")
    age(shop, sold["id"], monitored_until="2020-01-01T00:00:00Z", expires_at="2020-01-01T00:00:00Z")
    rail.change("inv1", expires_at=None, monitored_until=None)
    shop.core.till.reconciler.all()
    assert shop.core.till.reconciler.all().asked == 0, "it has left the sweep"
    rail.pay("inv1")
    assert shop.core.till.reconciler.rescan("fake").granted == 1
    assert shop.core.till.reconciler.rescan("fake").granted == 0
    assert shop.credits("i")["purchased"] == 20


def test_downtime_never_strands_a_payment(shop, rail) -> None:
    sold = bought(shop)
    rail.pay("inv1")
    long_ago = "2020-01-01T00:00:00Z"
    age(shop, sold["id"], monitored_until=long_ago, expires_at=long_ago, next_check_at=long_ago)
    assert shop.core.till.reconciler.tick().granted == 1


def test_a_tier_is_sold_to_users_and_starts_or_extends(shop, rail) -> None:
    who = user("u")
    body = {"tier": "pro"}
    reply = shop.call("POST", "/relay/tier/checkout", headers=who, json=body)
    assert reply.status == 201
    assert reply.json["invoice"]["amount"] == "5.00"
    rail.pay("inv1")
    deliver(shop)
    first = shop.get("/relay/credits", who).json["credits"]
    assert first["tier"] == "pro"
    assert_error(shop.call("POST", "/relay/tier/checkout", headers=who, json={"tier": "max"}), 409, "tier_conflict")
    shop.call("POST", "/relay/tier/checkout", headers=who, json=body)
    rail.pay("inv2")
    deliver(shop, "inv2")
    second = shop.get("/relay/credits", who).json["credits"]
    assert second["subscription_expires_at"] > first["subscription_expires_at"]
    assert second["remaining"] == first["remaining"], "never refilled"
    refused = shop.call("POST", "/relay/tier/checkout", headers=install("i"), json=body)
    assert_error(refused, 403, "tier_not_sold_here")


def test_a_tier_paid_while_another_one_began_is_for_a_person(shop, rail) -> None:
    who = user("u")
    order = shop.call("POST", "/relay/tier/checkout", headers=who, json={"tier": "pro"}).json["invoice"]["id"]
    shop.core.credits.set_tier("user:u", "max", 30, actor="test")
    rail.pay("inv1")
    deliver(shop)
    assert invoice(shop, order, who)["status"] == "review"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"package": "nope"}, 404, "not_found"),
        ({"package": 7}, 422, "invalid"),
        ({}, 422, "invalid"),
        ({"package": "small", "rail": "nobody"}, 404, "not_found"),
        ({"package": "small", "redirect_url": "javascript:alert(1)"}, 422, "invalid"),
        ({"package": "small", "email": "nobody"}, 422, "invalid"),
    ],
)
def test_wishes_that_cannot_be_are_refused(shop, body, status, code) -> None:
    assert_error(shop.call("POST", "/relay/credits/checkout", headers=install("i"), json=body), status, code)


def test_a_rail_that_is_off_says_so_and_is_not_listed(shop, rail) -> None:
    assert shop.get("/relay/credits/packages", install("i")).json["packages"][0]["rails"] == ["fake"]
    rail.why_off = "not connected"
    assert shop.get("/relay/credits/packages", install("i")).json["packages"][0]["rails"] == []
    assert_error(buy(shop, rail="fake"), 503, "upstream_unavailable", "rail")


def test_the_same_checkout_under_one_key_is_one_order(shop, rail) -> None:
    who = install("i") | {"Idempotency-Key": "k"}
    first, again = buy(shop, who), buy(shop, who)
    assert again.body == first.body
    assert rail.calls["create"] == 1


def test_the_return_page_shows_the_state_and_nothing_of_the_account(shop, rail) -> None:
    sold = bought(shop, who=user("anna"), redirect_url="https://app.example/back?a=1&b=2")
    page = sold["pay_url"].partition("8484")[2]
    waiting = shop.get(page)
    assert "Waiting for your payment" in waiting.body.decode()
    assert "https://app.example/back?a=1&amp;b=2" in waiting.body.decode()
    assert "anna" not in waiting.body.decode()
    assert waiting.headers["content-security-policy"].startswith("default-src 'none'")
    rail.pay("inv1")
    eventually(lambda: "Paid" in shop.get(page).body.decode())
    assert shop.credits(user("anna"))["purchased"] == 20
    assert shop.get("/pay/guess").status == 404


def test_the_desk_credits_by_hand_once_and_takes_back_by_a_counter_entry(shop, rail) -> None:
    sold = bought(shop)
    admin = shop.login()
    path = f"/admin/payments/{sold['id']}"
    assert shop.call("POST", f"{path}/credit", headers=admin, json={}).status == 422
    done = shop.call("POST", f"{path}/credit", headers=admin, json={"reason": "paid in cash"})
    assert done.json["payment"]["fulfilled"] is True
    assert shop.call("POST", f"{path}/credit", headers=admin, json={"reason": "again"}).status == 409
    rail.pay("inv1")
    deliver(shop)
    shop.core.till.checks.now(sold["id"])
    assert shop.credits("i")["purchased"] == 20, "what comes from the rail later finds it credited"
    shop.call("POST", f"{path}/reverse", headers=admin, json={"reason": "a mistake"})
    assert shop.credits("i")["purchased"] == 0
    kinds = [entry["kind"] for entry in shop.entries("inst:i")]
    assert kinds == ["purchase", "reversal"]
    assert "a mistake" in shop.entries("inst:i")[-1]["actor"]


def test_every_delivery_is_in_the_inbox_with_its_verdict(shop, rail) -> None:
    bought(shop)
    deliver(shop, secret="guess")
    deliver(shop, "foreign")
    rail.pay("inv1")
    deliver(shop)
    rows = shop.get("/admin/payments/inbox", shop.login()).json["deliveries"]
    assert {row["verdict"] for row in rows} == {"handled", "unknown_invoice", "refused: bad_signature"}
    assert len(shop.get("/admin/payments/inbox?q=foreign", shop.login()).json["deliveries"]) == 1
    assert json.dumps(rows).count(SECRET) == 0


def test_an_unsigned_nudge_is_looked_at_but_not_more_than_every_few_seconds(tmp_path) -> None:
    rail = FakeRail(signed=False)
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        bought(live)
        for _ in range(20):
            deliver(live)
        assert rail.calls["fetch"] <= 2
        rail.pay("inv1")
        eventually(lambda: live.credits("i")["purchased"] == 20)


def test_an_order_of_ours_named_by_an_unsigned_body_asks_nobody(tmp_path) -> None:
    rail = FakeRail(signed=False)
    with running(tmp_path, [FakeBackend()], settings=SHOP, rails=[rail]) as live:
        sold = bought(live)
        headers = {"Content-Type": "application/json"}
        reply = live.call("POST", "/relay/fake/webhook", headers=headers, json={"order": sold["id"]})
        assert reply.json["ignored"] == "unknown_invoice"
        assert rail.calls["fetch"] == 0


def test_two_relays_on_one_store_leave_each_other_alone(shop, rail) -> None:
    bought(shop)
    theirs = rail.invoices["inv1"]
    rail.invoices["theirs"] = theirs.__class__("theirs", "ord_theirs", "settled", "Settled", theirs.amount, rail.store)
    assert deliver(shop, "theirs", order="ord_theirs").json["ignored"] == "unknown_invoice"
    report = shop.core.till.reconciler.rescan("fake")
    assert (report.asked, report.granted) == (0, 0)


def code(live, admin, **fields):
    reply = live.call("POST", "/admin/codes", headers=admin, json={"code": "SPRING", "kind": "percent"} | fields)
    assert reply.status == 201, reply.body


def test_a_code_lowers_what_the_rail_asks_and_is_used_up_by_the_payment(shop, rail) -> None:
    admin = shop.login()
    code(shop, admin, value=2000, max_uses=1)
    sold = bought(shop, code=" spring ")
    assert sold["amount"] == "4.00"
    assert rail.sold[0].amount == money("4.00", "USD")
    assert_error(buy(shop, install("j"), code="SPRING"), 422, "invalid")
    rail.pay("inv1")
    deliver(shop)
    assert shop.credits("i")["purchased"] == 20


def test_an_expired_order_gives_its_code_back_once(shop, rail) -> None:
    code(shop, shop.login(), value=2000, max_uses=1)
    sold = bought(shop, code="SPRING")
    rail.change("inv1", status="expired", word="Expired")
    for _ in range(3):
        shop.core.till.checks.now(sold["id"])
    bought(shop, install("j"), code="SPRING")
    assert_error(buy(shop, install("k"), code="SPRING"), 422, "invalid")


def test_a_refused_checkout_gives_its_code_back(shop, rail) -> None:
    code(shop, shop.login(), value=2000, max_uses=1)
    rail.fail = RailFailed("no")
    assert buy(shop, code="SPRING").status == 502
    rail.fail = None
    bought(shop, code="SPRING")


def test_a_free_order_asks_no_rail_and_is_given_once(shop, rail) -> None:
    code(shop, shop.login(), kind="free", max_uses=1)
    who = install("i") | {"Idempotency-Key": "k"}
    sold = bought(shop, who, code="SPRING")
    assert (sold["status"], sold["fulfilled"], sold["amount"], sold["rail"]) == ("settled", True, "0.00", None)
    assert bought(shop, who, code="SPRING") == sold
    assert shop.credits("i")["purchased"] == 20
    assert not rail.calls["create"]
    assert_error(buy(shop, install("j"), code="SPRING"), 422, "invalid")


def test_a_bought_tier_has_a_subscription_that_can_be_ended(shop, rail) -> None:
    who = user("u")
    assert_error(shop.get("/relay/subscription", who), 404, "not_found")
    shop.call("POST", "/relay/tier/checkout", headers=who, json={"tier": "pro"})
    rail.pay("inv1")
    deliver(shop)
    found = shop.get("/relay/subscription", who).json["subscription"]
    assert (found["tier"], found["state"], found["card"]) == ("pro", "active", False)
    assert found["paid_until"] == shop.get("/relay/credits", who).json["credits"]["subscription_expires_at"]
    ended = shop.call("POST", "/relay/subscription/cancel", headers=who).json["subscription"]
    assert ended["state"] == "cancelled"
    assert shop.get("/relay/credits", who).json["credits"]["tier"] == "pro"
