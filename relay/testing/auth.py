"""What every auth strategy must pass, and one that issues keys. Inherit the class in a test and give its fixtures."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from relay.errors import AuthRejected, BadIdentity, Forbidden, NotFound, RelayError
from relay.ports.auth import AuthStrategy, Identity, KeyIssuer

KINDS = ("user:", "inst:", "lic:")
ODD_VALUES = ("", " ", ",", "a,a", "a b", "..", "é", "ключ", "\x00", "\udc80", "Bearer", "Bearer ", "x" * 100_000)


class AuthConformance:
    @pytest.fixture
    def strategy(self) -> AuthStrategy:
        raise NotImplementedError("give a fixture `strategy`: the object under test")

    @pytest.fixture
    def good(self) -> Mapping[str, str]:
        raise NotImplementedError("give a fixture `good`: headers the strategy accepts")

    @pytest.fixture
    def bad(self) -> Mapping[str, str]:
        raise NotImplementedError("give a fixture `bad`: headers the strategy refuses, each value longer than 3")

    def test_it_says_what_it_is(self, strategy: AuthStrategy) -> None:
        assert strategy.name
        assert isinstance(strategy.rank, int)
        assert strategy.headers
        assert all(header == header.lower() for header in strategy.headers)

    def test_good_headers_name_an_account(self, strategy: AuthStrategy, good: Mapping[str, str]) -> None:
        identity = strategy.identify(good)
        assert identity is not None
        assert identity.strategy == strategy.name
        assert identity.account.startswith(KINDS)
        assert strategy.identify(dict(good)) == identity, "the same headers are the same caller"

    def test_a_request_without_its_headers_is_left_to_others(self, strategy: AuthStrategy) -> None:
        for headers in ({}, {"host": "relay", "content-type": "application/json", "x-other": "1"}):
            assert strategy.identify(headers) is None
            assert strategy.is_operator(headers) is False

    def test_good_credentials_are_in_the_headers_it_declares(
        self, strategy: AuthStrategy, good: Mapping[str, str]
    ) -> None:
        declared = {name: value for name, value in good.items() if name in strategy.headers}
        assert strategy.identify(declared) == strategy.identify(good)

    def test_bad_credentials_end_the_search(self, strategy: AuthStrategy, bad: Mapping[str, str]) -> None:
        with pytest.raises((AuthRejected, BadIdentity)):
            strategy.identify(bad)

    def test_a_refusal_does_not_repeat_the_credential(self, strategy: AuthStrategy, bad: Mapping[str, str]) -> None:
        with pytest.raises(RelayError) as refusal:
            strategy.identify(bad)
        said = f"{refusal.value.message} {refusal.value.details}"
        assert not any(value in said for value in bad.values())

    def test_odd_header_values_raise_nothing_but_our_own_errors(
        self, strategy: AuthStrategy, good: Mapping[str, str]
    ) -> None:
        for header in strategy.headers:
            for value in ODD_VALUES:
                for headers in ({header: value}, {**good, header: value}):
                    with contextlib.suppress(RelayError):
                        strategy.identify(headers)
                    with contextlib.suppress(RelayError):
                        assert strategy.is_operator(headers) in {True, False}


OWNER = Identity("user:ann", "operator_key")
OTHER = Identity("inst:6f1c", "install_id")


class KeyIssuerConformance:
    """For a strategy that issues keys, with an empty storage behind it. `headers` says how a key is sent."""

    @pytest.fixture
    def issuer(self) -> AuthStrategy:
        raise NotImplementedError("give a fixture `issuer`: the object under test, which has no keys yet")

    def headers(self, secret: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {secret}"}

    def _mint(self, issuer: AuthStrategy, owner: Identity = OWNER, label: str = "phone") -> tuple[str, str, Identity]:
        """The id, the secret, and who it is."""
        assert isinstance(issuer, KeyIssuer)
        key, secret = issuer.mint(owner, label)
        identity = issuer.identify(self.headers(secret))
        assert identity is not None
        return key.id, secret, identity

    def _refused(self, issuer: AuthStrategy, secret: str) -> None:
        with pytest.raises(AuthRejected) as refusal:
            issuer.identify(self.headers(secret))
        assert refusal.value.code == "bad_key"
        assert secret not in f"{refusal.value.message} {refusal.value.details}"

    def test_a_key_is_the_account_it_was_made_for(self, issuer: AuthStrategy) -> None:
        for owner in (OWNER, OTHER, Identity("lic:0123456789abcdef", "keysat", tier="pro", allowance=False)):
            key_id, _, identity = self._mint(issuer, owner)
            assert identity == replace(owner, strategy=issuer.name, credential=key_id)

    def test_keys_and_their_secrets_are_all_different(self, issuer: AuthStrategy) -> None:
        made = [self._mint(issuer) for _ in range(5)]
        assert len({key_id for key_id, _, _ in made}) == len({secret for _, secret, _ in made}) == 5

    def test_an_account_sees_its_own_keys_newest_first(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        first, second = self._mint(issuer, label="first")[0], self._mint(issuer, label="second")[0]
        self._mint(issuer, OTHER)
        assert [(key.id, key.label) for key in issuer.keys(OWNER)] == [(second, "second"), (first, "first")]

    def test_a_key_sees_itself_only(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, _, itself = self._mint(issuer)
        self._mint(issuer)
        assert [key.id for key in issuer.keys(itself)] == [key_id]

    def test_a_key_cannot_make_keys(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        with pytest.raises(Forbidden):
            issuer.mint(self._mint(issuer)[2], "another")

    def test_an_ended_key_is_refused_from_then_on(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, secret, _ = self._mint(issuer)
        issuer.revoke(OWNER, key_id)
        self._refused(issuer, secret)
        assert not issuer.keys(OWNER)
        with pytest.raises(NotFound):
            issuer.revoke(OWNER, key_id)

    def test_a_key_ends_itself_and_no_other(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, secret, itself = self._mint(issuer)
        other_id, other_secret, _ = self._mint(issuer)
        for act in (issuer.revoke, lambda who, key: issuer.rotate(who, key, 1)):
            with pytest.raises(Forbidden):
                act(itself, other_id)
        issuer.revoke(itself, key_id)
        self._refused(issuer, secret)
        assert issuer.identify(self.headers(other_secret)) is not None

    def test_the_key_of_another_account_is_not_found(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, secret, _ = self._mint(issuer)
        with pytest.raises(NotFound):
            issuer.revoke(OTHER, key_id)
        with pytest.raises(NotFound):
            issuer.rotate(OTHER, key_id, 0)
        assert issuer.identify(self.headers(secret)) is not None

    def test_a_rotated_key_keeps_its_id_and_the_old_value_its_grace(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, old, itself = self._mint(issuer)
        key, new = issuer.rotate(OWNER, key_id, 1)
        assert (key.id, key.label, new != old) == (key_id, "phone", True)
        assert key.previous_until is not None
        assert issuer.identify(self.headers(new)) == itself
        assert issuer.identify(self.headers(old)) == replace(itself, outdated=True)

    def test_an_old_value_may_call_but_neither_rotate_nor_end_its_key(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, old, _ = self._mint(issuer)
        _, new = issuer.rotate(OWNER, key_id, 1)
        outdated = issuer.identify(self.headers(old))
        assert outdated is not None
        for act in (issuer.revoke, lambda who, key: issuer.rotate(who, key, 1)):
            with pytest.raises(Forbidden):
                act(outdated, key_id)
        assert issuer.identify(self.headers(new)) is not None

    def test_without_grace_the_old_value_ends_at_once(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, old, itself = self._mint(issuer)
        key, new = issuer.rotate(itself, key_id, 0)
        assert key.previous_until is None
        self._refused(issuer, old)
        assert issuer.identify(self.headers(new)) == itself

    def test_an_ended_key_takes_its_old_values_along(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        key_id, first, _ = self._mint(issuer)
        _, second = issuer.rotate(OWNER, key_id, 1)
        _, third = issuer.rotate(OWNER, key_id, 1)
        issuer.revoke(OWNER, key_id)
        for secret in (first, second, third):
            self._refused(issuer, secret)

    def test_all_keys_of_an_account_end_together_and_those_of_others_stay(self, issuer: AuthStrategy) -> None:
        assert isinstance(issuer, KeyIssuer)
        other = replace(OWNER, account=f"{OWNER.account}2")
        _, first, _ = self._mint(issuer)
        key_id, old, _ = self._mint(issuer)
        _, second = issuer.rotate(OWNER, key_id, 1)
        _, theirs, _ = self._mint(issuer, other)
        assert issuer.end_all(OWNER.account) == 2
        assert list(issuer.keys(OWNER)) == []
        for secret in (first, old, second):
            self._refused(issuer, secret)
        assert issuer.identify(self.headers(theirs)) is not None
        assert issuer.end_all(None) == 1
        self._refused(issuer, theirs)
