"""What every auth strategy must pass. Inherit the class in a test and give the three fixtures."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest

from relay.errors import AuthRejected, BadIdentity, RelayError
from relay.ports.auth import AuthStrategy

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
