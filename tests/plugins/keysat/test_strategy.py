"""Licences without a server: who a key is, and which keys are nobody."""

from __future__ import annotations

import pytest
from relay_keysat.recent import Recent

from relay.errors import AuthRejected, BadIdentity, StorageUnavailable
from relay.ports.auth import Identity, LicenceKeeper
from relay.testing.auth import AuthConformance
from tests.plugins.keysat.conftest import START, sent, who
from tests.plugins.keysat.keys import (
    ACCOUNT,
    OTHER_PRODUCT,
    OTHER_SIGNER,
    PEM,
    PRODUCT,
    key_of,
    licence_key,
    payload_of,
    pem_of,
)

KEY = licence_key(entitlements=("relay.pro",))
NOW = int(START.timestamp())


def refusal(strategy, text, **headers):
    with pytest.raises(AuthRejected) as refused:
        strategy.identify(sent(text) | headers)
    assert refused.value.code == "bad_license"
    assert text not in f"{refused.value.message} {refused.value.details}".replace("LIC1-", "")
    return refused.value.details["reason"]


class TestConformance(AuthConformance):
    @pytest.fixture
    def strategy(self, start):
        return start()

    @pytest.fixture
    def good(self):
        return sent(f"Bearer {KEY}")

    @pytest.fixture
    def bad(self):
        return sent(f"Bearer {licence_key(OTHER_SIGNER)}")


def test_it_is_asked_after_caller_keys_and_before_installs(start):
    strategy = start()
    assert (strategy.name, strategy.rank) == ("keysat", 30)
    assert set(strategy.headers) == {"authorization", "x-recap-install-id"}
    assert isinstance(strategy, LicenceKeeper)


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer {}", "BEARER   {}", "  {}  "])
def test_a_licence_is_its_account_however_it_is_sent(start, form):
    assert who(start(), form.format(KEY)) == Identity(ACCOUNT, "keysat", "pro", allowance=True)


def test_other_spellings_and_other_keys_of_one_licence_are_one_account(start):
    strategy = start()
    prefix, payload, signature = KEY.split("-")
    renewed = licence_key(expires=NOW + 1000, issued=NOW)
    for text in (KEY, f"{prefix}-{payload.lower()}-{signature.title()}", licence_key(version=1), renewed):
        assert who(strategy, text).account == ACCOUNT


@pytest.mark.parametrize(
    "more", [{}, {"authorization": ""}, {"authorization": "Bearer sk-x"}, {"authorization": "rk_x"}]
)
def test_without_a_licence_it_is_somebody_elses_caller(start, more):
    assert start().identify({"x-recap-install-id": "inst-1", **more}) is None


@pytest.mark.parametrize("text", [KEY, "LIC1-nonsense", "LIC1-"])
@pytest.mark.parametrize("install", [{}, {"x-recap-install-id": ""}])
def test_a_licence_without_an_install_is_not_authenticated(start, text, install):
    with pytest.raises(AuthRejected) as refused:
        start().identify({"authorization": text, **install})
    assert refused.value.code == "unauthenticated"


def test_a_licence_with_a_bad_install_id_is_a_bad_identity(start):
    with pytest.raises(BadIdentity):
        start().identify(sent(KEY, "a b"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("LIC1-AAAA-BBBB", "bad_format"),
        ("LIC1", "bad_format"),
        ("lic1" + KEY[4:], "bad_format"),
        ("LIC2" + KEY[4:], "bad_format"),
        (f"{KEY}, {KEY}", "bad_format"),
        (KEY[:-1] + "\u017f", "bad_format"),
        (key_of(b"\x03" + payload_of()[1:]), "bad_format"),
        (licence_key(OTHER_SIGNER), "bad_signature"),
        (licence_key(product=OTHER_PRODUCT), "product_mismatch"),
        (licence_key(bound="host-01"), "fingerprint_mismatch"),
    ],
)
def test_a_wrong_licence_is_refused_with_its_reason_and_is_nobody_else(start, text, reason):
    strategy = start()
    who(strategy, KEY)
    assert refusal(strategy, text) == reason
    assert refusal(strategy, f"Bearer {text}") == reason


def test_an_expired_licence_is_itself_but_has_no_allowance(start, clock):
    strategy = start()
    text = licence_key(expires=NOW + 60)
    assert who(strategy, text).allowance is True
    clock.passes(seconds=59)
    assert who(strategy, text).allowance is True
    clock.passes(seconds=1)
    assert who(strategy, text) == Identity(ACCOUNT, "keysat", "pro", allowance=False)


def test_the_operators_grace_prolongs_a_licence(start, clock):
    strategy = start(grace_hours=24)
    text = licence_key(expires=NOW)
    assert who(strategy, text).allowance is True
    clock.passes(hours=24)
    assert who(strategy, text).allowance is False


def test_a_product_has_its_tier_and_an_entitlement_a_better_one(start):
    strategy = start(
        products={str(PRODUCT): "pro", str(OTHER_PRODUCT).upper(): "max"},
        entitlements={"relay.huge": "huge", "relay.max": "max"},
    )
    assert who(strategy, licence_key()).tier == "pro"
    assert who(strategy, licence_key(product=OTHER_PRODUCT)).tier == "max"
    assert who(strategy, licence_key(entitlements=("relay.max", "relay.huge"))).tier == "huge"
    assert who(strategy, licence_key(entitlements=("relay.max.",))).tier == "pro"
    assert strategy.tiers == {"pro", "max", "huge"}


def test_a_licence_bound_to_this_relay_is_good_here(start):
    assert who(start(fingerprint="host-01"), licence_key(bound="host-01")).account == ACCOUNT


def test_the_fingerprint_is_made_once_for_all_processes_and_restarts(start):
    one, other = start(), start()
    made = one._licences.fingerprint
    assert made == other._licences.fingerprint == start()._licences.fingerprint
    assert who(other, licence_key(bound=made)).account == ACCOUNT


def test_two_pinned_keys_are_good_until_one_is_taken_away(start):
    old, new = licence_key(OTHER_SIGNER), KEY
    both = start(public_keys=[PEM, pem_of(OTHER_SIGNER)])
    assert who(both, old) == who(both, new)
    after = start()
    assert who(after, new).account == ACCOUNT
    assert refusal(after, old) == "bad_signature"


def test_nobody_is_the_operator(start):
    assert start().is_operator(sent(KEY)) is False


def test_before_the_storage_is_open_nothing_is_decided(start):
    strategy = start()
    strategy.attach(None)
    with pytest.raises(StorageUnavailable):
        strategy.identify(sent(KEY))


def test_the_account_of_a_licence_is_worth_what_its_key_is_worth(start, clock):
    strategy = start()
    assert strategy.verdict_for(ACCOUNT) is None
    text = licence_key(expires=NOW + 60)
    for each in (strategy, start()):
        assert who(strategy, text) == each.verdict_for(ACCOUNT)
    clock.passes(seconds=60)
    for each in (strategy, start()):
        assert each.verdict_for(ACCOUNT).allowance is False


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_renewed_licence_is_worth_what_its_newest_key_is_worth(start, clock, newest_first):
    strategy = start()
    texts = [licence_key(expires=NOW + 60), licence_key(expires=NOW + 999, issued=NOW)]
    for text in reversed(texts) if newest_first else texts:
        who(strategy, text)
    clock.passes(seconds=60)
    for each in (strategy, start()):
        assert each.verdict_for(ACCOUNT).allowance is True


def test_an_account_whose_issuer_is_no_longer_trusted_is_refused(start):
    who(start(public_keys=[PEM, pem_of(OTHER_SIGNER)]), licence_key(OTHER_SIGNER))
    with pytest.raises(AuthRejected) as refused:
        start().verdict_for(ACCOUNT)
    assert refused.value.details == {"reason": "bad_signature"}


def test_an_account_whose_product_is_no_longer_sold_is_refused(start):
    who(start(), KEY)
    with pytest.raises(AuthRejected) as refused:
        start(products={str(OTHER_PRODUCT): "pro"}).verdict_for(ACCOUNT)
    assert refused.value.details == {"reason": "product_mismatch"}


def test_only_so_many_keys_are_kept_and_the_longest_unused_goes_first():
    recent = Recent(2)
    for key in ("a", "b"):
        recent.keep(key, key)
    assert recent.get("a") == "a"
    assert recent.keep("c", "c") == "c"
    assert [recent.get(key) for key in "abc"] == ["a", None, "c"]
    assert recent.keep("a", "another") == "a"


def test_without_a_server_there_is_nothing_to_ask(start):
    strategy = start()
    assert strategy.health().ok
    who(strategy, KEY)
    (row,) = strategy.verdicts()
    assert (row["licence"], row["verdict"], row["tier"]) == (ACCOUNT.removeprefix("lic:"), "unchecked", "pro")
