"""Selling and looking: what each failure is called, old servers, long lists, life cycles of payments."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from relay.api import RailFailed, RailOutcomeUnknown, RailUnavailable, money
from relay.testing.rails import purchase
from relay.testing.sandbox.btcpay import KEY, STORE
from tests.loopback import Server, json_reply, reply

SOLD = {"id": "A", "storeId": "S", "status": "New", "amount": "5.00", "currency": "USD"}
NO_INVOICE = json_reply({"code": "invoice-not-found", "message": "The invoice was not found"}, 404)
NO_STORE = json_reply({"code": "store-not-found", "message": "The store was not found"}, 404)
REFUSED_KEY = json_reply({"code": "unauthenticated", "message": "who is token key-1234567890?"}, 401)
FORBIDDEN = json_reply({"code": "missing-permission", "missingPermission": "btcpay.store.canviewinvoices"}, 403)
NOT_READY = json_reply({"code": "generic-error", "message": "Full node not available\nBTC: node at 10.0.0.7"}, 400)
FIELDS = json_reply([{"path": "Amount", "message": "The amount is wrong at 10.0.0.7"}], 422)
PROBLEM = json_reply({"code": "validation", "message": "at 10.0.0.7"}, 422)


@pytest.fixture
def says(rail_for):
    """A server that says one thing, and a rail that asks it."""
    servers = []

    def says(said):
        server = Server(lambda request: said)
        servers.append(server.__enter__())
        return rail_for(url=server.url, api_key="key-1234567890", store_id="S", webhook_secret="w")

    says.servers = servers
    yield says
    for server in servers:
        server.__exit__()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (NOT_READY, RailUnavailable),
        (FIELDS, RailFailed),
        (PROBLEM, RailFailed),
        (REFUSED_KEY, RailUnavailable),
        (FORBIDDEN, RailUnavailable),
        (NO_STORE, RailUnavailable),
        (reply(404, b"<html>nginx</html>"), RailUnavailable),
        (reply(413, b"<html>too large</html>"), RailFailed),
        (reply(301, b"", location="https://h/"), RailUnavailable),
        (reply(429, b""), RailUnavailable),
        (reply(502, b"<html>Bad Gateway</html>"), RailOutcomeUnknown),
        (json_reply({"code": "x"}, 500), RailOutcomeUnknown),
        (reply(200, b"<html>fine</html>"), RailOutcomeUnknown),
        (reply(200, b""), RailOutcomeUnknown),
        (reply(200, b"null"), RailOutcomeUnknown),
        (json_reply([]), RailOutcomeUnknown),
        (json_reply({**SOLD, "id": None}), RailOutcomeUnknown),
    ],
)
def test_a_checkout_that_fails_says_whether_an_invoice_may_exist(says, said, error):
    with capture_logs() as logs, pytest.raises(error) as failure:
        says(said).create_checkout(purchase())
    assert type(failure.value) is error
    assert "10.0.0.7" not in failure.value.message
    assert "html" not in failure.value.message
    assert "key-1234567890" not in f"{failure.value.message}{logs}"
    assert len(says.servers[0].requests) == 1


@pytest.mark.parametrize(
    "said",
    [
        REFUSED_KEY,
        FORBIDDEN,
        NO_STORE,
        FIELDS,
        NOT_READY,
        reply(404, b"<html>nginx</html>"),
        reply(404, b""),
        reply(500, b""),
        reply(200, b""),
        reply(200, b"null"),
        reply(200, b"<html>login</html>"),
        json_reply([]),
        json_reply({"id": "A"}),
        json_reply({**SOLD, "id": "B"}),
    ],
)
def test_an_invoice_that_cannot_be_read_is_no_answer(says, said):
    with pytest.raises(RailUnavailable) as failure:
        says(said).fetch("A")
    assert type(failure.value) is RailUnavailable


def test_only_btcpays_own_word_says_that_there_is_no_such_invoice(says):
    assert says(NO_INVOICE).fetch("A") is None


@pytest.mark.parametrize("said", [json_reply({}), json_reply([7]), reply(200, b"null"), REFUSED_KEY, NO_STORE])
def test_a_list_that_cannot_be_read_is_no_answer(says, said):
    rail = says(said)
    with pytest.raises(RailUnavailable):
        rail.find("ord_1")
    with pytest.raises(RailUnavailable):
        list(rail.list_recent(datetime.now(UTC)))


@pytest.mark.parametrize(
    ("said", "must"), [(REFUSED_KEY, "connect BTCPay again"), (FORBIDDEN, "canviewinvoices"), (NO_STORE, "url and")]
)
def test_the_operator_is_told_what_to_do(says, said, must):
    with pytest.raises(RailUnavailable, match=must):
        says(said).fetch("A")


def test_a_server_that_forgets_the_filter_is_filtered_here(says):
    others = [{**SOLD, "id": f"x{n}", "metadata": {"orderId": f"shop-{n}"}} for n in range(3)]
    rail = says(json_reply([*others, {**SOLD, "metadata": {"orderId": "ord_1"}}, {"id": "broken"}]))
    assert rail.find("ord_1").invoice_id == "A"
    assert rail.find("ord_2") is None
    assert "take=50" in says.servers[0].requests[0].path


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ["", "/btcpay", "/a/b"])
def test_a_server_under_a_path_is_asked_there(rail_for, path, slash):
    with Server(lambda request: json_reply(SOLD)) as server:
        rail = rail_for(url=f"{server.url}{path}{slash}", api_key="k", store_id="S")
        assert rail.fetch("A").checkout_url == f"{server.url}{path}/i/A"
    assert server.requests[0].path == f"{path}/api/v1/stores/S/invoices/A"
    assert server.requests[0].headers["authorization"] == "token k"


def test_the_link_of_an_internal_host_becomes_the_public_one(box, rail_for):
    box.faults.add("btcpay", "internal_host")
    rail = rail_for(url=f"{box.url}/btcpay", public_url="https://pay.example/btcpay", api_key=KEY, store_id=STORE)
    made = rail.create_checkout(purchase())
    assert made.checkout_url == f"https://pay.example/btcpay/i/{made.invoice_id}"


@pytest.mark.parametrize("version", ["2.4.1", "2.0.0", "1.11.7"])
def test_old_servers_sell_too(btcpay, rail, version):
    btcpay.configure({"version": version})
    made = rail.create_checkout(purchase("21000", "SATS"))
    btcpay.pay(made.invoice_id)
    assert rail.fetch(made.invoice_id).status == "settled"
    assert rail.health().ok, rail.health().detail


def test_the_life_of_a_payment_on_the_chain(btcpay, rail):
    made = rail.create_checkout(purchase())
    seen = []

    def look():
        seen.append(rail.fetch(made.invoice_id).status)

    look()
    btcpay.pay(made.invoice_id, "2.00", "BTC-CHAIN")
    look()
    btcpay.pay(made.invoice_id, None, "BTC-CHAIN")
    look()
    btcpay.double_spend(made.invoice_id)
    look()
    btcpay.pay(made.invoice_id, None, "BTC-CHAIN")
    btcpay.confirm(made.invoice_id)
    look()
    assert seen == ["pending", "pending", "processing", "pending", "settled"]
    assert rail.fetch(made.invoice_id).paid == money("5.00", "USD")


def test_too_little_is_underpaid_when_the_time_is_over(btcpay, rail):
    made = rail.create_checkout(purchase())
    btcpay.pay(made.invoice_id, "2.00")
    btcpay.expire(made.invoice_id)
    found = rail.fetch(made.invoice_id)
    assert (found.status, found.word, found.paid) == ("underpaid", "Expired/PaidPartial", money("2.00", "USD"))


def test_a_late_payment_is_late_only_once_it_is_confirmed(btcpay, rail):
    wish = purchase()
    made = rail.create_checkout(wish)
    btcpay.expire(made.invoice_id)
    assert rail.fetch(made.invoice_id).status == "expired"
    btcpay.pay(made.invoice_id)
    found = rail.fetch(made.invoice_id)
    assert (found.status, found.word) == ("processing", "Expired/PaidLate")
    assert rail.find(wish.order_id).status == "processing"
    btcpay.confirm(made.invoice_id)
    for found in (rail.fetch(made.invoice_id), rail.find(wish.order_id)):
        assert (found.status, found.word) == ("late", "Expired/PaidLate")


def test_too_much_is_settled_and_says_so(btcpay, rail):
    made = rail.create_checkout(purchase())
    btcpay.pay(made.invoice_id, "7.00")
    found = rail.fetch(made.invoice_id)
    assert (found.status, found.over, found.amount) == ("settled", True, money("5.00", "USD"))
    assert found.paid == money("7.00", "USD")


def test_a_persons_mark_is_seen_and_so_is_its_reversal(btcpay, rail):
    made = rail.create_checkout(purchase())
    btcpay.mark(made.invoice_id, "Settled")
    found = rail.fetch(made.invoice_id)
    assert (found.status, found.marked, found.word) == ("settled", True, "Settled/Marked")
    btcpay.mark(made.invoice_id, "Invalid")
    assert rail.fetch(made.invoice_id).status == "invalid"


@pytest.mark.parametrize(
    ("fault", "says_so"),
    [
        ("wrong_amount", lambda found: found.amount == money("1", "USD")),
        ("wrong_currency", lambda found: found.amount.currency == "XMR"),
        ("wrong_store", lambda found: found.store == "SomeOtherStore"),
        ("wrong_order", lambda found: found.order_id == "some-other-order"),
        ("unknown_status", lambda found: (found.status, found.word) == ("unknown", "Frozen")),
    ],
)
def test_what_is_wrong_is_shown_and_not_corrected(box, rail, fault, says_so):
    made = rail.create_checkout(purchase())
    box.faults.add("btcpay", fault)
    assert says_so(rail.fetch(made.invoice_id))


def test_another_invoice_than_was_asked_for_is_no_answer(box, rail):
    made = rail.create_checkout(purchase())
    box.faults.add("btcpay", "wrong_id")
    with pytest.raises(RailUnavailable):
        rail.fetch(made.invoice_id)


def test_a_paid_copy_counts_before_an_expired_one(btcpay, rail):
    wish = purchase()
    first, second = rail.create_checkout(wish), rail.create_checkout(wish)
    btcpay.pay(first.invoice_id)
    btcpay.expire(second.invoice_id)
    assert rail.find(wish.order_id).invoice_id == first.invoice_id


def test_an_archived_invoice_is_still_found(btcpay, rail):
    wish = purchase()
    made = rail.create_checkout(wish)
    btcpay.pay(made.invoice_id)
    btcpay.invoices[made.invoice_id].archived = True
    assert rail.find(wish.order_id).status == "settled"
    assert [found.invoice_id for found in rail.list_recent(datetime.now(UTC) - timedelta(days=1))] == [made.invoice_id]


def test_a_full_store_is_read_in_pages(box, btcpay, rail):
    btcpay.fill(250, "Settled")
    btcpay.fill(20, "New")
    found = [snapshot.invoice_id for snapshot in rail.list_recent(datetime.now(UTC) - timedelta(days=1))]
    assert len(found) == len(set(found)) == 250
    asked = box.requests("btcpay", "invoices")
    assert [(record.query["take"], record.query["skip"]) for record in asked] == [
        ("100", "0"),
        ("100", "100"),
        ("100", "200"),
    ]
    assert all(record.query["status"] == "Settled" for record in asked)


def test_an_endless_list_ends(says):
    rail = says(json_reply([{**SOLD, "id": f"i{n}", "status": "Settled"} for n in range(100)]))
    with capture_logs() as logs:
        assert len(list(rail.list_recent(datetime.now(UTC)))) == 100
    assert len(says.servers[0].requests) == 50
    assert logs[-1]["event"] == "btcpay_list_cut"


@pytest.mark.parametrize("odd", ["", ".", "..", "../../api-keys/current", "a/b", "a?b", "é", "x" * 65])
def test_an_odd_id_is_not_even_asked_for(says, odd):
    assert says(REFUSED_KEY).fetch(odd) is None
    assert says.servers[0].requests == []
