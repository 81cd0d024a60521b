"""The install id strategy."""

import pytest
from relay_install_id import Plugin

from relay.errors import AuthRejected, BadIdentity, ConfigError
from relay.tables import Table
from relay.testing.auth import AuthConformance

INSTALL, A = "x-recap-install-id", "authorization"


@pytest.fixture
def strategy():
    (strategy,) = Plugin(Table({}, "plugins.install_id")).relay_auth_strategies()
    return strategy


class TestConformance(AuthConformance):
    @pytest.fixture
    def strategy(self, strategy):
        return strategy

    @pytest.fixture
    def good(self):
        return {INSTALL: "6f1c-install"}

    @pytest.fixture
    def bad(self):
        return {INSTALL: "6f1c install", A: "Bearer LIC1-abcdef"}


def test_it_is_asked_after_all_others(strategy):
    assert (strategy.name, strategy.rank) == ("install_id", 40)


@pytest.mark.parametrize(
    "more", [{}, {A: "Bearer sk-openai-clients-need-one"}, {A: ""}, {A: "Basic LIC1-x"}, {A: "Bearer"}]
)
def test_an_install_has_its_own_account_whatever_else_openai_clients_send(strategy, more):
    identity = strategy.identify({INSTALL: "abc", **more})
    assert (identity.account, identity.tier, identity.allowance) == ("inst:abc", None, True)


@pytest.mark.parametrize("install", ["a b", ".", "..", "é", "a,a", "a/b", "x" * 129, "\udc80"])
def test_an_id_of_other_characters_is_a_bad_identity(strategy, install):
    with pytest.raises(BadIdentity) as refusal:
        strategy.identify({INSTALL: install})
    assert refusal.value.code == "bad_identity"


@pytest.mark.parametrize("headers", [{}, {INSTALL: ""}, {A: "Bearer sk-x"}])
def test_without_an_id_it_is_somebody_elses_caller(strategy, headers):
    assert strategy.identify(headers) is None


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer ", "BEARER  "])
def test_a_licence_nobody_took_is_refused_and_not_ignored(strategy, prefix):
    with pytest.raises(AuthRejected) as refusal:
        strategy.identify({INSTALL: "abc", A: f"{prefix}LIC1-abc.def"})
    assert (refusal.value.code, refusal.value.details) == ("bad_license", {"reason": "not_supported"})


def test_a_licence_without_an_install_is_not_authenticated(strategy):
    with pytest.raises(AuthRejected) as refusal:
        strategy.identify({A: "LIC1-abc.def"})
    assert refusal.value.code == "unauthenticated"


@pytest.mark.parametrize("install", [{}, {INSTALL: "abc"}])
@pytest.mark.parametrize("prefix", ["", "Bearer "])
def test_a_caller_key_nobody_knew_is_refused_and_not_ignored(strategy, install, prefix):
    with pytest.raises(AuthRejected) as refusal:
        strategy.identify({**install, A: f"{prefix}rk_abc"})
    assert refusal.value.code == "bad_key"


def test_nobody_is_the_operator(strategy):
    assert strategy.is_operator({INSTALL: "abc", A: "Bearer rk_x"}) is False


def test_it_has_no_settings():
    with pytest.raises(ConfigError, match=r"plugins\.install_id\.key: unknown key"):
        Plugin(Table({"key": 1}, "plugins.install_id"))
