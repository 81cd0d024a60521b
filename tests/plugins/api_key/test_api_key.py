"""The strategy of caller keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from relay_api_key import Plugin
from relay_api_key.keys import MAX_KEYS
from relay_api_key.recent import Callers
from relay_api_key.strategy import ApiKeys, utcnow

from relay.books.spaces import PluginSpace
from relay.errors import AuthRejected, ConfigError, Invalid, StorageUnavailable
from relay.ports.auth import Identity
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.tables import Table
from relay.testing.auth import OTHER, OWNER, AuthConformance, KeyIssuerConformance
from relay.testing.memory import MemoryStorage

AUTH = "authorization"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def storage(tmp_path: Path) -> MemoryStorage:
    storage = MemoryStorage()
    storage.open(tmp_path, COLLECTIONS, STREAMS)
    return storage


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(storage: MemoryStorage, clock: Clock) -> ApiKeys:
    return another(storage, clock)


def another(storage: MemoryStorage, clock: Callable[[], datetime]) -> ApiKeys:
    """The same plugin in another process, or after a restart."""
    keys = ApiKeys(clock)
    keys.attach(PluginSpace(storage, "api_key"))
    return keys


def bearer(secret: str) -> dict[str, str]:
    return {AUTH: f"Bearer {secret}"}


def refused(keys: ApiKeys, headers: dict[str, str]) -> bool:
    try:
        keys.identify(headers)
    except AuthRejected as refusal:
        return refusal.code == "bad_key"
    return False


class TestConformance(AuthConformance):
    @pytest.fixture
    def strategy(self, keys: ApiKeys) -> ApiKeys:
        return keys

    @pytest.fixture
    def good(self, keys: ApiKeys) -> dict[str, str]:
        return bearer(keys.mint(OWNER, "")[1])

    @pytest.fixture
    def bad(self) -> dict[str, str]:
        return bearer("rk_a-guess")


class TestIssuing(KeyIssuerConformance):
    @pytest.fixture
    def issuer(self, storage: MemoryStorage) -> ApiKeys:
        return another(storage, utcnow)


def test_it_is_asked_after_the_operator_key_and_before_all_others(keys: ApiKeys) -> None:
    assert (keys.name, keys.rank, keys.headers) == ("api_key", 20, (AUTH,))


@pytest.mark.parametrize("form", ["Bearer {}", "bearer   {} ", "{}"])
def test_a_key_comes_with_or_without_bearer(keys: ApiKeys, form: str) -> None:
    secret = keys.mint(OWNER, "")[1]
    identity = keys.identify({AUTH: form.format(secret)})
    assert identity is not None
    assert identity.account == OWNER.account


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer LIC1-x", "Bearer sk-x", "Basic cmtfeDp5", "Bearer xrk_a"])
def test_what_is_no_caller_key_is_left_to_others(keys: ApiKeys, value: str) -> None:
    assert keys.identify({AUTH: value}) is None


@pytest.mark.parametrize(
    "secret", ["rk_", "rk_x", "rk_" + "A" * 43, "rk_é", "rk_\udc80", "rk_a b", "rk_" + "x" * 10**5]
)
def test_a_key_nobody_made_is_refused_whatever_comes_with_it(keys: ApiKeys, secret: str) -> None:
    keys.mint(OWNER, "")
    assert refused(keys, bearer(secret) | {"x-recap-install-id": "abc"})


def test_the_secret_is_random_and_stored_as_its_hash_only(keys: ApiKeys, storage: MemoryStorage) -> None:
    key, secret = keys.mint(OWNER, "phone")
    _, renewed = keys.rotate(OWNER, key.id, 1)
    rows = storage.read(lambda tx: tx.scan("plugin-data", limit=100))
    stored = json.dumps(rows)
    assert len(rows) == 3
    for value in (secret, renewed):
        assert value.startswith("rk_")
        assert len(value) == 3 + 43
        assert value[3:] not in stored
    assert "phone" in stored


def test_a_key_of_a_licence_keeps_what_the_licence_granted(keys: ApiKeys, storage: MemoryStorage, clock: Clock) -> None:
    licence = Identity("lic:0123456789abcdef", "keysat", tier="pro", allowance=False)
    key, secret = keys.mint(licence, "")
    after_restart = another(storage, clock).identify(bearer(secret))
    assert after_restart == Identity(licence.account, "api_key", "pro", allowance=False, credential=key.id)


def test_the_old_value_works_until_its_grace_ends_and_not_an_instant_longer(keys: ApiKeys, clock: Clock) -> None:
    key, old = keys.mint(OWNER, "")
    renewed, new = keys.rotate(OWNER, key.id, 1.5)
    assert renewed.previous_until == START + timedelta(hours=1.5)
    clock.now = START + timedelta(hours=1.5) - timedelta(microseconds=1)
    assert not refused(keys, bearer(old))
    clock.now = START + timedelta(hours=1.5)
    assert refused(keys, bearer(old))
    assert not refused(keys, bearer(new))


def test_a_second_rotation_ends_the_value_before_the_last(keys: ApiKeys) -> None:
    key, first = keys.mint(OWNER, "")
    _, second = keys.rotate(OWNER, key.id, 100)
    _, third = keys.rotate(OWNER, key.id, 100)
    assert refused(keys, bearer(first))
    assert not refused(keys, bearer(second))
    assert not refused(keys, bearer(third))


def test_nothing_is_left_of_values_that_ended(keys: ApiKeys, storage: MemoryStorage) -> None:
    def rows() -> int:
        return storage.read(lambda tx: tx.count("plugin-data"))

    key, _ = keys.mint(OWNER, "")
    for grace, count in ((1, 3), (1, 3), (0, 2)):
        keys.rotate(OWNER, key.id, grace)
        assert rows() == count
    keys.rotate(OWNER, key.id, 1)
    keys.revoke(OWNER, key.id)
    assert rows() == 0


def test_an_account_has_a_bounded_number_of_keys(keys: ApiKeys) -> None:
    ids = [keys.mint(OWNER, str(n))[0].id for n in range(MAX_KEYS)]
    with pytest.raises(Invalid, match="100 keys"):
        keys.mint(OWNER, "one more")
    keys.mint(OTHER, "another account has its own")
    keys.revoke(OWNER, ids[0])
    keys.mint(OWNER, "one more")
    assert len(keys.keys(OWNER)) == MAX_KEYS


def test_an_account_does_not_see_those_whose_name_begins_alike(keys: ApiKeys) -> None:
    keys.mint(Identity("user:ann2", "operator_key"), "")
    assert keys.keys(OWNER) == []


def test_a_known_key_is_not_looked_up_again_within_a_second(keys: ApiKeys, storage: MemoryStorage, monkeypatch) -> None:
    secret = keys.mint(OWNER, "")[1]
    keys.identify(bearer(secret))

    def broken(_fn: object) -> None:
        raise StorageUnavailable("the disk is away")

    monkeypatch.setattr(storage, "read", broken)
    assert not refused(keys, bearer(secret))


def test_a_key_ended_in_another_process_is_refused_when_it_is_looked_up_again(
    keys: ApiKeys, storage: MemoryStorage, clock: Clock, monkeypatch
) -> None:
    monkeypatch.setattr("relay_api_key.recent.FRESH_SECONDS", 0.0)
    key, secret = keys.mint(OWNER, "")
    assert not refused(keys, bearer(secret))
    another(storage, clock).revoke(OWNER, key.id)
    assert refused(keys, bearer(secret))


def test_a_look_up_from_before_a_change_is_not_remembered_after_it() -> None:
    callers = Callers()
    before = callers.changes
    callers.forget()
    callers.remember("digest", OWNER, "key/user:ann/key_1", None, before)
    assert callers.get("digest", START) is None
    callers.remember("digest", OWNER, "key/user:ann/key_1", None, callers.changes)
    assert callers.get("digest", START) is not None


def written(keys: ApiKeys, storage: MemoryStorage, clock: Clock) -> datetime | None:
    """What another process reads, once the thread that writes it is done."""
    for thread in threading.enumerate():
        if thread.name == "api-key-uses":
            thread.join(10)
    return another(storage, clock).keys(OWNER)[0].last_used_at


def test_the_last_use_is_known_at_once_and_written_once_a_minute(
    keys: ApiKeys, storage: MemoryStorage, clock: Clock
) -> None:
    secret = keys.mint(OWNER, "")[1]
    assert keys.keys(OWNER)[0].last_used_at is None
    for seconds, known, saved in ((0, 0, 0), (59, 59, 0), (60, 60, 60), (61, 61, 60)):
        clock.now = START + timedelta(seconds=seconds)
        keys.identify(bearer(secret))
        assert keys.keys(OWNER)[0].last_used_at == START + timedelta(seconds=known)
        assert written(keys, storage, clock) == START + timedelta(seconds=saved)


def test_a_use_does_not_bring_an_ended_key_back(keys: ApiKeys, storage: MemoryStorage, clock: Clock) -> None:
    secret = keys.mint(OWNER, "kept")[1]
    key, ended = keys.mint(OWNER, "ended")
    keys.identify(bearer(secret))
    written(keys, storage, clock)
    clock.now += timedelta(seconds=30)
    keys.identify(bearer(ended))
    keys.revoke(OWNER, key.id)
    clock.now += timedelta(seconds=60)
    keys.identify(bearer(secret))
    written(keys, storage, clock)
    assert [key.label for key in keys.keys(OWNER)] == ["kept"]


def test_a_key_cannot_be_checked_before_the_storage_is_there() -> None:
    with pytest.raises(StorageUnavailable):
        ApiKeys().identify(bearer("rk_x"))


def test_nobody_is_the_operator(keys: ApiKeys) -> None:
    assert keys.is_operator(bearer(keys.mint(OWNER, "")[1])) is False


def test_it_has_no_settings() -> None:
    with pytest.raises(ConfigError, match=r"plugins\.api_key\.key: unknown key"):
        Plugin(Table({"key": 1}, "plugins.api_key"))
