"""The operator key strategy."""

import pytest
from relay_operator_key import Plugin

from relay.errors import AuthRejected, BadIdentity, ConfigError
from relay.tables import Table
from relay.testing.auth import AuthConformance

KEY = "k" * 12 + "-._~"
K, U, INSTALL = "x-recap-operator-key", "x-recap-user-id", "x-recap-install-id"


@pytest.fixture
def strategy():
    (strategy,) = Plugin(Table({"key": KEY}, "plugins.operator_key")).relay_auth_strategies()
    return strategy


class TestConformance(AuthConformance):
    @pytest.fixture
    def strategy(self, strategy):
        return strategy

    @pytest.fixture
    def good(self):
        return {K: KEY, U: "alice@example.org"}

    @pytest.fixture
    def bad(self):
        return {K: "not-the-right-key", U: "alice@example.org"}


def test_it_is_asked_before_all_others(strategy):
    assert (strategy.name, strategy.rank) == ("operator_key", 10)


def test_key_and_user_are_that_users_account(strategy):
    identity = strategy.identify({K: KEY, U: "alice", INSTALL: "abc"})
    assert (identity.account, identity.tier, identity.allowance) == ("user:alice", None, True)


@pytest.mark.parametrize(
    "key", ["wrong", KEY + " ", KEY.upper(), KEY[:-1], f"{KEY}, {KEY}", "ключ-ключ-ключ-ключ", "\udc80"]
)
@pytest.mark.parametrize("more", [{}, {U: "alice"}, {INSTALL: "abc"}])
def test_a_wrong_key_is_refused_whatever_else_is_there(strategy, key, more):
    for ask in (strategy.identify, strategy.is_operator):
        with pytest.raises(AuthRejected) as refusal:
            ask({K: key, **more})
        assert refusal.value.code == "bad_operator_key"


@pytest.mark.parametrize("user", [{}, {U: ""}, {U: "a b"}, {U: ".."}, {U: "alice, bob"}, {U: "é"}, {U: "x" * 129}])
def test_the_key_without_a_proper_user_is_a_bad_identity(strategy, user):
    with pytest.raises(BadIdentity) as refusal:
        strategy.identify({K: KEY, **user, INSTALL: "abc"})
    assert refusal.value.code == "bad_identity"


@pytest.mark.parametrize("key", [{}, {K: ""}])
def test_a_user_without_the_key_is_refused_even_with_an_install_id(strategy, key):
    with pytest.raises(AuthRejected) as refusal:
        strategy.identify({U: "alice", INSTALL: "abc", **key})
    assert refusal.value.code == "unauthenticated"


def test_empty_headers_are_left_to_other_strategies(strategy):
    assert strategy.identify({K: "", U: "", INSTALL: "abc"}) is None
    assert strategy.is_operator({K: ""}) is False


def test_the_key_alone_is_the_operator(strategy):
    assert strategy.is_operator({K: KEY}) is True


def test_the_key_itself_is_not_kept_in_memory(strategy):
    assert KEY not in repr(vars(strategy))


@pytest.mark.parametrize("key", ["", "short", "x" * 15 + "\n", " " * 40])
def test_a_short_key_stops_the_start_naming_the_setting(key):
    with pytest.raises(ConfigError, match=r"^plugins\.operator_key\.key: must have at least 16 characters"):
        Plugin(Table({"key": key}, "plugins.operator_key"))


@pytest.mark.parametrize("key", ["ключ" * 8, "x" * 20 + "\n" + "y"])
def test_a_key_that_cannot_travel_in_a_header_stops_the_start(key):
    with pytest.raises(ConfigError, match=r"^plugins\.operator_key\.key: must be printable ASCII") as complaint:
        Plugin(Table({"key": key}, "plugins.operator_key"))
    assert key not in complaint.value.message


def test_a_missing_key_or_another_setting_stops_the_start(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"plugins\.operator_key\.key: the environment variable NO_SUCH_KEY"):
        Plugin(Table({"key": {"env": "NO_SUCH_KEY"}}, "plugins.operator_key"))
    with pytest.raises(ConfigError, match=r"plugins\.operator_key\.keys: unknown key"):
        Plugin(Table({"key": KEY, "keys": 1}, "plugins.operator_key"))
