"""Licences with a server: its word is kept, asked for again beside the calls, and never made up from a failure."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta

import pytest
import structlog
from msgspec.structs import replace
from relay_keysat import checks, licences, records
from relay_keysat.checks import Checks
from relay_keysat.records import Record
from relay_keysat.verdict import Verdict

from relay.books.spaces import PluginSpace
from relay.errors import AuthRejected, Unavailable
from relay.ports.auth import Identity
from tests.flows.live import at_once, eventually
from tests.loopback import HANG_UP, Raw, json_reply, reply
from tests.plugins.keysat.conftest import START, sent, who
from tests.plugins.keysat.keys import ACCOUNT, LICENCE, OTHER_SIGNER, PEM, PRODUCT, base32, licence_key, pem_of

KEY = licence_key(entitlements=("relay.max", "gpu"))
NOW = int(START.timestamp())
GOOD = Identity(ACCOUNT, "keysat", "pro", allowance=True)
ENDED = Identity(ACCOUNT, "keysat", "pro", allowance=False)
REFUSALS = [
    "revoked",
    "suspended",
    "not_found",
    "invalid_state",
    "bad_signature",
    "bad_format",
    "product_mismatch",
    "fingerprint_mismatch",
    "too_many_machines",
    "a_reason_of_next_year",
]
NO_VERDICTS = [
    {"ok": False, "reason": "rate_limited"},
    {"ok": False, "error": "internal_error", "message": "x"},
    {"ok": False, "reason": ""},
    {"ok": False, "reason": None},
    {"ok": False, "reason": 7},
    {"ok": False, "reason": "revoked", "license_id": "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee"},
    {"ok": "false", "reason": "revoked"},
    {"ok": 1, "license_id": str(LICENCE)},
    {"ok": True},
    {"ok": True, "license_id": "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee", "product_id": str(PRODUCT)},
    {"ok": True, "license_id": str(LICENCE), "product_id": str(LICENCE)},
    {"ok": True, "license_id": str(LICENCE), "expires_at": "tomorrow"},
    {"ok": True, "license_id": str(LICENCE), "entitlements": "gpu"},
    json_reply({"ok": False, "reason": "revoked"}, 500),
    json_reply({"ok": False, "error": "rate_limited", "message": "x"}, 429),
    json_reply({"ok": False, "reason": "revoked"}, 401),
    reply(302, location="http://127.0.0.1:9/"),
    reply(200, b"<html><body>Sign in to the wireless network</body></html>", content_type="text/html"),
    reply(200, b""),
    reply(200, b"[]"),
    reply(200, b"[" * 100_000),
    reply(200, b"\xff\xfe\x00"),
    reply(200, b" " * 300_000 + b'{"ok":false,"reason":"revoked"}'),
    reply(200, b'{"ok":false,"reason":"revoked"}', content_encoding="gzip"),
    HANG_UP,
    Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{", close=True),
]


def refusal(strategy, text=KEY):
    with pytest.raises(AuthRejected) as refused:
        strategy.identify(sent(text))
    assert refused.value.code == "bad_license"
    return refused.value.details["reason"]


def waits_for(issuer, n):
    """Until the server was asked so many times, and no check runs any more."""
    eventually(lambda: len(issuer.asked) == n and no_check_runs())


def no_check_runs():
    return not any(thread.name == "licence-check" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _checks_end(issuer):
    yield
    issuer.gate.set()
    eventually(no_check_runs, 20)


def test_the_first_call_waits_for_the_first_verdict(start, issuer):
    issuer.refuses("revoked")
    assert refusal(start(url=issuer.url)) == "revoked"


def test_the_server_is_sent_the_key_and_one_fingerprint_for_ever(start, issuer, clock):
    strategy = start(url=issuer.url)
    assert who(strategy, f"Bearer {KEY.replace('A', 'a').replace('LIC', 'LIC')}") == GOOD
    clock.passes(hours=2)
    who(strategy, KEY)
    waits_for(issuer, 2)
    clock.passes(hours=2)
    who(start(url=issuer.url), KEY)
    waits_for(issuer, 3)
    assert {ask["key"] for ask in issuer.asked} == {KEY}
    (fingerprint,) = {ask["fingerprint"] for ask in issuer.asked}
    assert fingerprint == strategy._licences.fingerprint


def test_no_seat_is_taken_where_the_operator_does_not_want_it(start, issuer):
    who(start(url=issuer.url, send_fingerprint=False), KEY)
    assert issuer.asked == [{"key": KEY}]


def test_a_verdict_is_kept_about_an_hour(start, issuer, clock):
    strategy = start(url=issuer.url)
    who(strategy, KEY)
    clock.passes(minutes=53)
    for _ in range(20):
        assert who(strategy, KEY) == GOOD
    assert len(issuer.asked) == 1
    clock.passes(minutes=14)
    who(strategy, KEY)
    waits_for(issuer, 2)


def test_verdicts_of_one_moment_are_not_asked_again_at_one_moment(start, issuer):
    issuer.refuses("revoked")
    strategy = start(url=issuer.url)
    for n in range(20):
        with pytest.raises(AuthRejected):
            strategy.identify(sent(licence_key(issued=n)))
    rows = strategy._licences._known._rows.values()
    dues = {row.due for row in rows}
    assert len(dues) == 20
    assert all(timedelta(minutes=54) <= due - START <= timedelta(minutes=66) for due in dues)


def test_later_checks_run_beside_the_calls(start, issuer, clock):
    strategy = start(url=issuer.url)
    who(strategy, KEY)
    clock.passes(hours=2)
    issuer.refuses("revoked")
    issuer.gate.clear()
    for _ in range(5):
        assert who(strategy, KEY) == GOOD
    assert len(issuer.asked) <= 2
    issuer.gate.set()
    waits_for(issuer, 2)
    assert refusal(strategy) == "revoked"


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refusal_of_the_server_refuses_the_licence_and_can_be_taken_back(start, issuer, clock, reason):
    strategy = start(url=issuer.url)
    issuer.refuses(reason)
    assert refusal(strategy) == reason
    issuer.good()
    clock.passes(hours=2)
    refusal(strategy)
    waits_for(issuer, 2)
    assert who(strategy, KEY) == GOOD


@pytest.mark.parametrize("reason", ["suspended", "not_found", "too_many_machines", "expired"])
def test_what_may_pass_soon_is_asked_again_soon(start, issuer, clock, reason):
    strategy = start(url=issuer.url)
    issuer.refuses(reason)
    with pytest.raises(AuthRejected) if reason != "expired" else threading.Lock():
        who(strategy, KEY)
    issuer.good()
    clock.passes(minutes=6)
    with pytest.raises(AuthRejected) if reason != "expired" else threading.Lock():
        who(strategy, KEY)
    waits_for(issuer, 2)
    assert who(strategy, KEY) == GOOD


def test_a_reason_that_is_no_word_is_not_shown(start, issuer):
    issuer.refuses("<b>Pay at http://evil.example</b>")
    assert refusal(start(url=issuer.url)) == "refused"


@pytest.mark.parametrize("said", NO_VERDICTS, ids=range(len(NO_VERDICTS)))
def test_what_is_no_verdict_changes_nothing(start, issuer, clock, said):
    strategy = start(url=issuer.url)
    issuer.says = said
    assert who(strategy, KEY) == GOOD, "without a verdict: what the key itself says"
    issuer.refuses("revoked")
    clock.passes(minutes=2)
    who(strategy, KEY)
    waits_for(issuer, 2)
    issuer.says = said
    clock.passes(hours=2)
    assert refusal(strategy) == "revoked"
    waits_for(issuer, 3)
    assert refusal(strategy) == "revoked", "the last word stands"


def test_a_server_that_is_not_there_is_no_verdict_either(start):
    assert who(start(url="http://127.0.0.1:9"), KEY) == GOOD


def test_a_failed_check_is_not_repeated_at_every_call(start, issuer, clock):
    strategy = start(url=issuer.url)
    issuer.says = reply(500)
    for _ in range(10):
        assert who(strategy, KEY) == GOOD
    assert len(issuer.asked) == 1
    clock.passes(seconds=70)
    who(strategy, KEY)
    waits_for(issuer, 2)


def test_a_server_that_does_not_answer_keeps_nobody_waiting(start, issuer, monkeypatch):
    monkeypatch.setattr(licences, "FIRST_WAIT_SECONDS", 0.2)
    issuer.gate.clear()
    strategy = start(url=issuer.url)
    began = time.monotonic()
    assert who(strategy, KEY) == GOOD
    assert time.monotonic() - began < 10, "the server is still silent"
    assert len(issuer.asked) == 1


def test_the_operator_may_deny_what_cannot_be_checked(start, issuer, clock):
    issuer.says = reply(500)
    strategy = start(url=issuer.url, on_unreachable="deny")
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            strategy.identify(sent(KEY))
        assert refused.value.status == 503
        assert refused.value.retry_after
    issuer.good()
    clock.passes(minutes=2)
    with pytest.raises(Unavailable):
        strategy.identify(sent(KEY))
    waits_for(issuer, 2)
    assert who(strategy, KEY) == GOOD


@pytest.mark.parametrize(
    ("says", "within", "after_offline"),
    [("good", GOOD, GOOD), ("revoked", "revoked", GOOD), ("expired", ENDED, GOOD)],
)
def test_the_last_verdict_counts_until_it_is_too_old(start, issuer, clock, says, within, after_offline):
    settings = {"url": issuer.url, "max_stale_hours": 72}
    if says != "good":
        issuer.refuses(says)
    strategy, strict = start(**settings), start(**settings, on_unreachable="deny")
    for each in (strategy, strict):
        if within == "revoked":
            assert refusal(each) == "revoked"
        else:
            assert who(each, KEY) == within
    issuer.says = reply(503)
    for hours in (1.5, 70):
        clock.passes(hours=hours)
        for each in (strategy, strict):
            if within == "revoked":
                assert refusal(each) == "revoked"
            else:
                assert who(each, KEY) == within
            eventually(no_check_runs)
    clock.passes(hours=1)
    assert who(strategy, KEY) == after_offline
    with pytest.raises(Unavailable):
        strict.identify(sent(KEY))


def test_a_clock_set_back_does_not_make_a_verdict_last(start, issuer, clock):
    strategy = start(url=issuer.url)
    who(strategy, KEY)
    issuer.refuses("revoked")
    clock.passes(days=-365)
    assert refusal(strategy) == "revoked"


def test_a_clock_set_back_a_little_has_the_server_asked_again(start, issuer, clock):
    strategy = start(url=issuer.url)
    who(strategy, KEY)
    issuer.refuses("revoked")
    clock.passes(hours=-2)
    who(strategy, KEY)
    waits_for(issuer, 2)
    assert refusal(strategy) == "revoked"


def test_an_older_verdict_never_replaces_a_newer_one(storage):
    space, account = PluginSpace(storage, "keysat"), "lic:0123456789abcdef"
    bare = Record(account, str(PRODUCT), 1, 0, (), "", "signer")
    at = [Verdict(ok=True, reason="", checked_at=START + timedelta(hours=hours)) for hours in range(3)]

    def save(verdict):
        space.transact(lambda tx: records.save(tx, "hash", replace(bare, verdict=verdict)))
        return space.read(lambda tx: records.load(tx, "hash")).verdict

    assert [save(verdict) for verdict in (None, at[1], None, at[0], at[2])] == [None, at[1], at[1], at[1], at[2]]


def test_a_restart_keeps_the_last_verdict_and_its_age(start, issuer, clock):
    issuer.refuses("revoked")
    assert refusal(start(url=issuer.url)) == "revoked"
    issuer.says = reply(500)
    clock.passes(minutes=30)
    again = start(url=issuer.url)
    assert refusal(again) == "revoked"
    assert len(issuer.asked) == 1
    (row,) = again.verdicts()
    assert row == {
        "licence": ACCOUNT.removeprefix("lic:"),
        "verdict": "refused",
        "reason": "revoked",
        "checked_at": START,
        "age": 1800,
        "tier": "pro",
    }
    clock.passes(hours=72)
    assert who(start(url=issuer.url), KEY) == GOOD


def test_a_verdict_of_a_server_that_is_no_longer_asked_does_not_count(start, issuer):
    issuer.refuses("revoked")
    refusal(start(url=issuer.url))
    assert who(start(), KEY) == GOOD


def test_fifty_calls_at_once_ask_once_and_all_hear_the_answer(start, issuer):
    issuer.refuses("revoked")
    strategy = start(url=issuer.url)
    assert at_once(50, lambda _: refusal(strategy)) == ["revoked"] * 50
    assert len(issuer.asked) == 1


def test_fifty_calls_at_once_after_the_hour_ask_once(start, issuer, clock):
    strategy = start(url=issuer.url)
    who(strategy, KEY)
    clock.passes(hours=2)
    issuer.gate.clear()
    assert at_once(50, lambda _: who(strategy, KEY)) == [GOOD] * 50
    issuer.gate.set()
    waits_for(issuer, 2)


def test_a_key_that_is_not_genuine_is_never_sent(start, issuer):
    strategy = start(url=issuer.url)
    for text in (
        licence_key(OTHER_SIGNER),
        KEY.replace("-A", "-B", 1),
        licence_key(product=LICENCE),
        licence_key(bound="x"),
    ):
        with pytest.raises(AuthRejected):
            strategy.identify(sent(text))
    assert issuer.asked == []


def test_expired_at_the_server_is_expired_here(start, issuer, clock):
    issuer.says = {"ok": False, "reason": "expired", "license_id": str(LICENCE), "expires_at": "2026-01-01T00:00:00Z"}
    assert who(start(url=issuer.url), KEY) == ENDED


@pytest.mark.parametrize(
    ("until", "hours", "allowance"),
    [(None, 0, True), ("2026-03-01T13:00:00+00:00", 0, True), ("2026-03-01T13:00:00+00:00", 1, False)],
)
def test_the_grace_of_the_server_is_honoured_to_its_end(start, issuer, clock, until, hours, allowance):
    issuer.good(in_grace_period=True, **({"grace_until": until} if until else {}))
    strategy, text = start(url=issuer.url), licence_key(expires=NOW - 60)
    assert who(strategy, text).allowance is True
    issuer.says = reply(500)
    clock.passes(hours=hours)
    assert who(strategy, text).allowance is allowance


def test_a_licence_that_ends_between_two_checks_is_asked_about_at_once(start, issuer, clock):
    strategy, text = start(url=issuer.url), licence_key(expires=NOW + 60)
    assert who(strategy, text).allowance is True
    issuer.good(in_grace_period=True)
    clock.passes(seconds=61)
    assert who(strategy, text).allowance is True
    assert len(issuer.asked) == 2


def test_the_server_prolongs_a_licence_only_where_it_is_trusted(start, issuer):
    text = licence_key(expires=NOW - 60)
    for expires in ({}, {"expires_at": "2027-01-01T00:00:00+00:00"}):
        issuer.good(**expires)
        assert who(start(url=issuer.url), text).allowance is False
        assert who(start(url=issuer.url, trust_server=True), text).allowance is True


def test_a_trusted_server_may_shorten_a_licence_too(start, issuer, clock):
    issuer.good(expires_at="2026-03-01T12:30:00+00:00")
    strategy = start(url=issuer.url, trust_server=True)
    assert who(strategy, KEY).allowance is True
    clock.passes(minutes=30)
    assert who(strategy, KEY).allowance is False


@pytest.mark.parametrize(
    ("signed", "live", "narrowed", "trusted"),
    [
        (("relay.max",), ("relay.max",), "max", "max"),
        (("relay.max",), (), "pro", "pro"),
        ((), ("relay.max",), "pro", "max"),
        (("relay.max",), ("relay.huge",), "pro", "huge"),
    ],
)
def test_live_entitlements_narrow_and_widen_only_where_trusted(start, issuer, signed, live, narrowed, trusted):
    issuer.good(**({"entitlements": list(live)} if live else {}))
    settings = {"url": issuer.url, "entitlements": {"relay.huge": "huge", "relay.max": "max"}}
    text = licence_key(entitlements=signed)
    assert who(start(**settings), text).tier == narrowed
    assert who(start(**settings, trust_server=True), text).tier == trusted


def test_a_key_of_the_licence_is_asked_about_without_the_licence(start, issuer, clock):
    """What `verdict_for` is told counts for caller keys: they keep the licence checked while this process has it."""
    strategy = start(url=issuer.url)
    who(strategy, KEY)
    issuer.refuses("revoked")
    clock.passes(hours=2)
    assert strategy.verdict_for(ACCOUNT) == GOOD
    waits_for(issuer, 2)
    with pytest.raises(AuthRejected) as refused:
        strategy.verdict_for(ACCOUNT)
    assert refused.value.details == {"reason": "revoked"}


def test_after_a_restart_a_refused_licence_stays_refused_until_it_is_shown_again(start, issuer, clock):
    issuer.refuses("revoked")
    refusal(start(url=issuer.url))
    clock.passes(days=30)
    again = start(url=issuer.url)
    with pytest.raises(AuthRejected):
        again.verdict_for(ACCOUNT)
    issuer.good()
    who(again, KEY)
    assert again.verdict_for(ACCOUNT) == GOOD


def test_after_a_restart_a_good_verdict_grows_old_without_the_licence(start, issuer, clock):
    who(start(url=issuer.url), KEY)
    clock.passes(hours=71)
    for settings in ({}, {"on_unreachable": "deny"}):
        assert start(url=issuer.url, **settings).verdict_for(ACCOUNT) == GOOD
    clock.passes(hours=2)
    assert start(url=issuer.url).verdict_for(ACCOUNT) == GOOD
    with pytest.raises(Unavailable):
        start(url=issuer.url, on_unreachable="deny").verdict_for(ACCOUNT)


def test_no_licence_is_in_the_storage_or_in_the_log(start, issuer, storage, clock):
    texts = [KEY, licence_key(issued=1), licence_key(bound="host-01"), licence_key(OTHER_SIGNER)]
    with structlog.testing.capture_logs() as logged:
        strategy = start(url=issuer.url)
        for says in ("good", "revoked", "rate_limited"):
            issuer.good() if says == "good" else issuer.refuses(says)
            for text in texts:
                for form in (text, text.lower(), f"{text}x"):
                    try:
                        strategy.identify(sent(form))
                    except AuthRejected as exc:
                        logged.append({"said": f"{exc} {exc.details}"})
            eventually(no_check_runs)
            clock.passes(hours=2)
        issuer.refuses(KEY)
        refusal(strategy)
        eventually(no_check_runs)
    stored = storage.read(lambda tx: tx.scan("plugin-data", None, "", "\U0010ffff", limit=1000))
    everything = (json.dumps([stored, logged], default=str)).upper()
    assert len(stored) > 2
    assert len(logged) > 2
    for text in texts:
        for part in text.split("-")[1:]:
            assert part[:16] not in everything.replace(base32(bytes(10)), "")


def test_checks_beyond_what_can_wait_are_put_off(monkeypatch):
    monkeypatch.setattr(checks, "MAX_WAITING", 2)
    monkeypatch.setattr(checks, "WORKERS", 1)
    some, gate, done = Checks(), threading.Event(), []

    def work():
        gate.wait(20)
        done.append(1)

    running = some.start("a", work)
    eventually(lambda: not some._waiting)
    assert [some.start(name, work) is not None for name in "bcd"] == [True, True, False]
    assert some.start("a", work) is running
    gate.set()
    eventually(lambda: len(done) == 3 and not some._running)


def test_a_check_that_breaks_lets_go_of_who_waits():
    some = Checks()
    with structlog.testing.capture_logs() as logged:
        some.start("a", lambda: 1 / 0).wait(20)
        eventually(no_check_runs)
    assert [line["event"] for line in logged] == ["licence_check_broke"]
    assert some.start("a", lambda: None) is not None


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/v1/pubkey", {"public_key_pem": PEM}, 200, ""),
        ("/v1/issuer/public-key", {"public_key_pem": PEM}, 200, ""),
        ("/v1/pubkey", {"public_key_pem": pem_of(OTHER_SIGNER)}, 200, "not in public_keys"),
        ("/v1/pubkey", {"public_key_pem": "x"}, 200, "no public key"),
        ("/v1/pubkey", {"ok": True}, 200, "no public key"),
        ("/v1/pubkey", {}, 503, "503"),
        ("/elsewhere", {}, 200, "404"),
    ],
)
def test_its_health_says_whether_the_server_signs_with_a_trusted_key(start, path, body, status, word):
    from tests.loopback import Server

    def answer(request):
        return json_reply(body, status) if request.path == path else reply(404)

    with Server(answer) as server:
        health = start(url=server.url).health()
    assert health.ok is (word == "")
    assert word in health.detail


def test_its_health_says_when_the_server_is_not_there(start):
    health = start(url="http://127.0.0.1:9").health()
    assert not health.ok
    assert "no answer" in health.detail
