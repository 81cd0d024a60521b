"""Scoped keys, sessions and passwords by themselves, with a clock that the tests turn."""

from datetime import UTC, datetime, timedelta

import pytest

from relay.books import audit
from relay.domain.access import MASTER, RESOURCES, ROLES
from relay.errors import Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from relay.http.admin.access import SCOPES, needed
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.admin import Admin
from relay.services.admin_attempts import NOTED, OVERALL, Attempts
from relay.services.admin_keys import NewKey
from relay.services.admin_sessions import IDLE_HOURS, MAX_SESSIONS, SESSION_HOURS
from relay.testing.memory import MemoryStorage

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "a password for tests"


class House:
    """The operator's door over a storage in memory."""

    def __init__(self, tmp_path, password: str | None = PASSWORD) -> None:
        self.now = START
        self.storage = MemoryStorage()
        self.storage.open(tmp_path, COLLECTIONS, STREAMS)
        self.admin = Admin(self.storage, password, lambda: self.now)
        self.keys, self.sessions = self.admin.keys, self.admin.sessions
        # A hash takes a twentieth of a second and is argon2's to get right.
        self.admin.passwords._verify = lambda given: (
            self.storage.read(self.admin.passwords.mark) if given == PASSWORD else None
        )

    def later(self, **time) -> None:
        self.now += timedelta(**time)

    def make(self, role="read-only", label="monitoring", **more):
        return self.keys.create(NewKey(role, label, **more), actor="admin")

    def row(self, key_id):
        return self.storage.read(lambda tx: tx.get("admin-keys", key_id))

    def log(self):
        rows = self.storage.read(lambda tx: audit.page(tx, limit=500))
        return [change for _, change in reversed(rows)]

    def login(self, address="192.0.2.1") -> str:
        return self.admin.login(PASSWORD, address)[0]


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_key_is_told_once_and_kept_as_a_hash(house) -> None:
    made = house.make()
    assert made["key"].startswith("ks_")
    assert len(made["key"]) == 3 + 43, "32 random bytes"
    assert made["scopes"] == sorted(ROLES["read-only"])
    assert made["key"] not in str(house.row(made["id"]))
    assert made["key"] not in str(house.keys.list())
    assert made["key"] not in str(house.log())
    assert house.row(made["id"])["secret"] not in str(house.keys.list())


def test_a_key_lets_its_holder_in_with_the_scopes_of_its_role(house) -> None:
    for role, scopes in ROLES.items():
        made = house.make(role)
        holder = house.keys.holder(made["key"])
        assert (holder.id, holder.scopes) == (made["id"], scopes)


@pytest.mark.parametrize("secret", ["", "ks_", "ks_wrong", "rk_x", "ks_" + "A" * 43, "ks_\udcff", "\x00", "ks_" * 9999])
def test_what_is_no_key_lets_nobody_in(house, secret) -> None:
    house.make()
    assert house.keys.holder(secret) is None


def test_a_part_of_a_key_and_its_hash_are_no_keys(house) -> None:
    made = house.make()
    for secret in (made["key"][:-1], made["key"] + "A", made["key"][3:], made["id"], house.row(made["id"])["secret"]):
        assert house.keys.holder(secret) is None


def test_a_revoked_key_is_out_at_once(house) -> None:
    made, other = house.make(), house.make()
    house.keys.holder(made["key"])
    house.keys.revoke(made["id"], actor="admin")
    assert house.keys.holder(made["key"]) is None
    assert house.keys.holder(other["key"]) is not None
    house.admin.write_uses()
    assert house.row(made["id"]) is None, "its last use does not bring it back"
    with pytest.raises(NotFound):
        house.keys.revoke(made["id"], actor="admin")


def test_a_key_ends_by_itself(house) -> None:
    made = house.make(expires_days=2)
    assert made["expires_at"] == "2026-03-03T12:00:00Z"
    house.later(days=2, seconds=-1)
    assert house.keys.holder(made["key"]) is not None
    house.later(seconds=1)
    assert house.keys.holder(made["key"]) is None
    assert house.keys.list()[0]["expired"] is True


def test_a_role_that_is_no_more_may_do_nothing(house) -> None:
    made = house.make()
    house.storage.transact(
        lambda tx: tx.put("admin-keys", made["id"], {**tx.get("admin-keys", made["id"]), "role": "root"})
    )
    assert house.keys.holder(made["key"]).scopes == frozenset()
    assert house.keys.list()[0]["scopes"] == []


@pytest.mark.parametrize("label", ["", "   ", "x" * 81, "a\nb", "a\x00", "a\u202eb", "\x1b[31mred"])
def test_a_label_that_cannot_be_shown_is_refused(house, label) -> None:
    with pytest.raises(Invalid) as refused:
        house.make(label=label)
    assert refused.value.details["path"] == "label"


def test_a_role_that_does_not_exist_is_refused_with_those_that_do(house) -> None:
    with pytest.raises(Invalid, match="support"):
        house.make(role="master")


def test_a_hundred_keys_are_enough(house) -> None:
    made = [house.make() for _ in range(100)]
    with pytest.raises(Conflict, match="revoke one"):
        house.make()
    house.keys.revoke(made[0]["id"], actor="admin")
    house.make()
    assert len(house.keys.list()) == 100


def test_the_last_use_is_known_at_once_and_written_later(house) -> None:
    made = house.make()
    assert house.keys.list()[0]["last_used_at"] is None
    house.later(minutes=3)
    before = house.storage.disk.version
    house.keys.holder(made["key"])
    assert house.storage.disk.version == before, "looking at a page writes nothing"
    assert house.keys.list()[0]["last_used_at"] == "2026-03-01T12:03:00Z"
    assert house.row(made["id"])["last_used_at"] is None
    house.admin.write_uses()
    assert house.row(made["id"])["last_used_at"] == "2026-03-01T12:03:00Z"
    before = house.storage.disk.version
    house.admin.write_uses()
    assert house.storage.disk.version == before, "nothing new to write"


def test_a_last_use_that_could_not_be_written_is_written_later(house) -> None:
    made = house.make()
    house.keys.holder(made["key"])
    house.storage.disk.failure = RuntimeError("no disk")
    with pytest.raises(RuntimeError):
        house.admin.write_uses()
    house.storage.disk.failure = None
    house.admin.write_uses()
    assert house.row(made["id"])["last_used_at"] is not None


def test_making_and_revoking_are_in_the_audit_log(house) -> None:
    made = house.make("support", "desk")
    house.keys.revoke(made["id"], actor="cli")
    create, revoke = house.log()
    assert (create.actor, create.action, create.target) == ("admin", "keys.create", made["id"])
    assert create.after == {"role": "support", "label": "desk", "expires_at": None}
    assert (revoke.actor, revoke.action, revoke.before) == ("cli", "keys.revoke", {"role": "support", "label": "desk"})


# Roles and routes


def test_the_roles_are_those_of_the_contract() -> None:
    reads = {f"{name}:read" for name in RESOURCES} - {"outputs:read", "meetings:read", "keys:read"}
    extra = {
        "read-only": set(),
        "support": {"credits:write", "payments:write", "jobs:write"},
        "merchant-onboard": {"packages:write", "codes:write"},
        "license-issuer": {"licences:write"},
        "full-admin": {f"{name}:{verb}" for name in RESOURCES for verb in ("read", "write")},
    }
    assert {role: reads | more for role, more in extra.items()} == ROLES


def test_no_role_is_the_master() -> None:
    for scopes in ROLES.values():
        assert MASTER not in scopes


def test_every_scope_a_route_asks_for_exists() -> None:
    for scope in set(SCOPES.values()) - {MASTER}:
        assert scope in ROLES["full-admin"], scope


def test_a_route_that_is_not_in_the_table_is_for_the_master() -> None:
    assert needed("GET", "/admin/new") == MASTER
    assert needed("GET", None) == MASTER
    assert needed("PATCH", "/admin/credits") == MASTER
    assert needed("HEAD", "/admin/credits") == "credits:read"


# Sessions


def test_a_session_ends_a_day_after_its_login_however_much_it_is_used(house) -> None:
    token = house.login()
    for _ in range(SESSION_HOURS - 1):
        house.later(hours=1)
        assert house.sessions.find(token) is not None
    house.later(hours=1)
    assert house.sessions.find(token) is None


def test_a_session_ends_eight_hours_after_its_last_use(house) -> None:
    token = house.login()
    house.later(hours=IDLE_HOURS - 1)
    found = house.sessions.find(token)
    assert found.expires_at == house.now + timedelta(hours=IDLE_HOURS)
    house.later(hours=IDLE_HOURS - 1)
    assert house.sessions.find(token) is not None
    house.later(hours=IDLE_HOURS)
    assert house.sessions.find(token) is None
    assert house.sessions.list("") == []


def test_the_last_use_of_a_session_outlives_the_process_once_it_is_written(house) -> None:
    token = house.login()
    house.later(hours=7)
    house.sessions.find(token)
    house.admin.write_uses()
    again = Admin(house.storage, PASSWORD, lambda: house.now)
    house.later(hours=7)
    assert again.sessions.find(token) is not None


def test_a_clock_that_is_set_back_ends_sessions(house) -> None:
    token = house.login()
    house.later(hours=2)
    assert house.sessions.find(token) is not None
    house.later(minutes=-4)
    assert house.sessions.find(token) is not None, "a clock that is kept right goes back a little"
    house.later(hours=-1)
    assert house.sessions.find(token) is None, "it would live an hour longer each time"
    house.later(days=-400)
    assert house.sessions.find(token) is None, "it would live for a year"
    house.later(days=500)
    assert house.sessions.find(token) is None


def test_past_fifty_sessions_the_oldest_end(house) -> None:
    tokens = []
    for _ in range(MAX_SESSIONS + 2):
        tokens.append(house.login())
        house.later(seconds=1)
    alive = [house.sessions.find(token) is not None for token in tokens]
    assert alive == [False] * 2 + [True] * MAX_SESSIONS
    assert house.storage.read(lambda tx: tx.count("sessions")) == MAX_SESSIONS


def test_a_session_tied_to_a_password_that_was_changed_meanwhile_is_none(tmp_path) -> None:
    house = House(tmp_path, None)
    house.storage.transact(lambda tx: house.admin.passwords.store(tx, "old hash"))
    token, _ = house.sessions.open("old hash", "")
    assert house.sessions.find(token) is not None
    house.storage.transact(lambda tx: house.admin.passwords.store(tx, "new hash"))
    assert house.sessions.find(token) is None
    late, _ = house.sessions.open("old hash", "")
    assert house.sessions.find(late) is None, "its login had checked the old password"


def test_a_row_that_is_no_session_lets_nobody_in(house) -> None:
    token = house.login()
    for key, doc in house.storage.read(lambda tx: tx.scan("sessions", limit=5)):
        for broken in ({**doc, "created_at": "yesterday"}, {"csrf_token": "x"}, {**doc, "password": 7}):
            house.storage.transact(lambda tx, key=key, broken=broken: tx.put("sessions", key, broken))
            assert house.sessions.find(token) is None
    assert house.sessions.list("") == []


# Passwords


def test_wrong_passwords_from_everywhere_slow_all_logins_down_and_end_no_session(house) -> None:
    token = house.login()
    for n in range(OVERALL.amount):
        with pytest.raises(Unauthenticated):
            house.admin.login("wrong", f"198.51.100.{n}")
    outcomes = []
    for n in range(5):
        try:
            house.admin.login(PASSWORD, f"203.0.113.{n}")
            outcomes.append("in")
        except TooMany as refused:
            outcomes.append(refused.retry_after)
    assert outcomes[0] == "in", "one at a time goes on"
    assert 2 in outcomes
    assert house.sessions.find(token) is not None


def test_who_guesses_cannot_fill_the_log(house) -> None:
    attempts = Attempts(house.storage)
    for n in range(500):
        attempts.wrong(f"198.51.100.{n % 250}", "sessions.wrong_password")
    lines = house.log()
    assert len(lines) == NOTED.amount
    assert {line.actor for line in lines} == {"nobody"}
    assert lines[0].address == "198.51.100.0"


def test_a_line_says_how_many_tries_it_stands_for(house, monkeypatch) -> None:
    attempts = Attempts(house.storage)
    answers = iter([True, False, False, True])
    hit = attempts._limiter.hit
    monkeypatch.setattr(
        attempts._limiter, "hit", lambda item, *who: next(answers) if item is NOTED else hit(item, *who)
    )
    for _ in range(4):
        attempts.wrong("198.51.100.1", "sessions.wrong_password")
    assert [line.after for line in house.log()] == [{"attempts": 1}, {"attempts": 3}]


def test_a_password_in_the_settings_is_changed_there(house) -> None:
    with pytest.raises(Conflict) as refused:
        house.admin.change_password(PASSWORD, "another good one", token="", address="", actor="admin")
    assert refused.value.code == "password_in_config"


def test_a_wrong_current_password_counts_as_a_wrong_login(tmp_path) -> None:
    house = House(tmp_path, None)
    for _ in range(10):
        with pytest.raises(Forbidden):
            house.admin.change_password("wrong", "another good one", token="", address="192.0.2.1", actor="admin")
    with pytest.raises(TooMany):
        house.admin.login(PASSWORD, "192.0.2.1")
    assert house.log()[0].action == "password.wrong_password"


def test_of_two_changes_at_once_one_wins(tmp_path) -> None:
    house = House(tmp_path, None)
    house.storage.transact(lambda tx: house.admin.passwords.store(tx, "old hash"))
    house.admin.passwords._verify = lambda _given: "the hash before that"
    with pytest.raises(Conflict):
        house.admin.change_password(PASSWORD, "another good one", token="", address="", actor="admin")
    assert house.storage.read(house.admin.passwords.mark) == "old hash"
