"""Caller keys over HTTP: made, used, rotated, ended; never anybody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.live import FakeBackend, Live, Reply, assert_error, at_once, install, running, user

KEYS = "[plugins.api_key]\n"
ANN = user("ann")


@pytest.fixture
def live(tmp_path: Path, backend: FakeBackend) -> Iterator[Live]:
    with running(tmp_path, [backend], plugins=KEYS) as relay:
        yield relay


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def mint(live: Live, who: dict[str, str] = ANN, **body: Any) -> tuple[str, str]:
    """Id and secret."""
    reply = live.call("POST", "/relay/keys", headers=who, json=body)
    assert reply.status == 201, reply.body
    assert reply.json.keys() == {"ok", "id", "key", "label"}
    return reply.json["id"], reply.json["key"]


def rotate(live: Live, who: dict[str, str], key_id: str, **body: Any) -> Reply:
    return live.call("POST", f"/relay/keys/{key_id}/rotate", headers=who, json=body)


def listed(live: Live, who: dict[str, str]) -> list[Any]:
    reply = live.get("/relay/keys", who)
    assert reply.status == 200, reply.body
    return reply.json["keys"]


@pytest.mark.parametrize(("who", "account"), [(ANN, "user:ann"), (install("6f1c"), "inst:6f1c")])
def test_a_key_spends_from_the_account_it_was_made_for(live: Live, who: dict[str, str], account: str) -> None:
    _, secret = mint(live, who, label="phone")
    reply = live.analyze(bearer(secret))
    assert (reply.status, reply.charged) == (200, 1)
    assert [entry["kind"] for entry in live.entries(account)] == ["charge"]
    assert live.credits(bearer(secret))["total"] == live.credits(who)["total"] == 9
    live.assert_balanced()


def test_a_tier_of_the_account_is_the_tier_of_its_keys(live: Live) -> None:
    _, secret = mint(live)
    changed = live.call("PUT", "/relay/users/ann/tier", headers=ANN, json={"tier": "pro"})
    assert changed.status == 200, changed.body
    assert live.credits(bearer(secret))["tier"] == "pro"


def test_the_list_tells_everything_but_the_secret(live: Live) -> None:
    key_id, secret = mint(live, label="phone")
    live.get("/relay/credits", bearer(secret))
    reply = live.get("/relay/keys", ANN)
    (key,) = reply.json["keys"]
    assert key.keys() == {"id", "label", "created_at", "rotated_at", "last_used_at", "previous_until"}
    assert (key["id"], key["label"], key["rotated_at"], key["previous_until"]) == (key_id, "phone", None, None)
    assert key["last_used_at"] >= key["created_at"]
    assert secret.encode() not in reply.body


def test_a_key_reads_rotates_and_deletes_itself_and_makes_none(live: Live) -> None:
    other_id, _ = mint(live, label="other")
    key_id, secret = mint(live, label="phone")
    assert [key["id"] for key in listed(live, bearer(secret))] == [key_id]
    assert_error(live.call("POST", "/relay/keys", headers=bearer(secret), json={}), 403, "forbidden")
    assert_error(live.call("DELETE", f"/relay/keys/{other_id}", headers=bearer(secret)), 403, "forbidden")
    assert_error(rotate(live, bearer(secret), other_id), 403, "forbidden")
    renewed = rotate(live, bearer(secret), key_id).json
    assert (renewed["id"], renewed["label"], renewed["previous_until"]) == (key_id, "phone", None)
    assert live.call("DELETE", f"/relay/keys/{key_id}", headers=bearer(renewed["key"])).json == {
        "ok": True,
        "id": key_id,
    }
    assert [key["id"] for key in listed(live, ANN)] == [other_id]


def test_the_old_value_works_beside_the_new_one_for_its_grace(live: Live) -> None:
    key_id, old = mint(live)
    renewed = rotate(live, ANN, key_id, grace_hours=0.5).json
    assert renewed["previous_until"] == listed(live, ANN)[0]["previous_until"]
    for secret in (old, renewed["key"]):
        assert live.get("/relay/credits", bearer(secret)).status == 200
    again = rotate(live, ANN, key_id, grace_hours=0).json
    for secret, status in ((old, 401), (renewed["key"], 401), (again["key"], 200)):
        assert live.get("/relay/credits", bearer(secret)).status == status


@pytest.mark.parametrize("grace", [-1, 720.1, "1", None, True])
def test_a_grace_is_a_number_of_hours_within_a_month(live: Live, grace: Any) -> None:
    key_id, secret = mint(live)
    reply = rotate(live, ANN, key_id, grace_hours=grace)
    assert_error(reply, 422, "invalid")
    assert reply.error["details"]["path"] == "grace_hours"
    assert live.get("/relay/credits", bearer(secret)).status == 200


def test_the_old_value_may_call_but_not_change_its_key(live: Live) -> None:
    key_id, old = mint(live)
    new = rotate(live, ANN, key_id, grace_hours=24).json["key"]
    for _ in range(2):  # also when it is known from the first time
        assert live.get("/relay/credits", bearer(old)).status == 200
        assert_error(rotate(live, bearer(old), key_id), 403, "forbidden")
        assert_error(live.call("DELETE", f"/relay/keys/{key_id}", headers=bearer(old)), 403, "forbidden")
    assert rotate(live, bearer(new), key_id).status == 200


def test_an_ended_key_is_nobody_whatever_else_is_sent(live: Live) -> None:
    key_id, secret = mint(live)
    assert live.call("DELETE", f"/relay/keys/{key_id}", headers=ANN).status == 200
    for headers in (bearer(secret), bearer(secret) | install("6f1c"), bearer("rk_never-made") | install("6f1c")):
        assert_error(live.analyze(headers), 401, "bad_key")
        assert_error(live.get("/relay/credits", headers), 401, "bad_key")
        assert_error(live.call("POST", "/relay/keys", headers=headers, json={}), 401, "bad_key")
    assert live.row("inst:6f1c") is None


def test_the_operator_key_comes_before_a_caller_key_and_that_before_an_install(live: Live) -> None:
    _, secret = mint(live, user("ben"))
    for headers, account in ((bearer(secret) | ANN, "user:ann"), (bearer(secret) | install("6f1c"), "user:ben")):
        assert live.analyze(headers).status == 200
        assert live.row(account) is not None
    assert live.row("inst:6f1c") is None


def test_a_key_of_another_account_is_not_there(live: Live) -> None:
    key_id, secret = mint(live)
    for reply in (
        live.call("DELETE", f"/relay/keys/{key_id}", headers=user("ben")),
        rotate(live, user("ben"), key_id),
        live.call("DELETE", "/relay/keys/key_0", headers=ANN),
    ):
        assert_error(reply, 404, "not_found")
    assert listed(live, user("ben")) == []
    assert live.get("/relay/credits", bearer(secret)).status == 200


def test_the_hundredth_key_is_the_last_one_also_when_two_are_made_at_once(live: Live) -> None:
    for _ in range(99):
        mint(live)
    replies = at_once(4, lambda _: live.call("POST", "/relay/keys", headers=ANN, json={}))
    assert sorted(reply.status for reply in replies) == [201, 422, 422, 422]
    assert "100 keys" in next(reply for reply in replies if reply.status == 422).error["message"]


def test_nobody_makes_keys_without_credentials(live: Live) -> None:
    assert_error(live.call("POST", "/relay/keys", json={}), 401, "unauthenticated")
    assert_error(live.get("/relay/keys"), 401, "unauthenticated")


@pytest.mark.parametrize("label", ["x" * 101, 3, None])
def test_a_label_is_a_short_text(live: Live, label: Any) -> None:
    assert_error(live.call("POST", "/relay/keys", headers=ANN, json={"label": label}), 422, "invalid")


def test_without_the_plugin_the_answer_says_what_the_operator_can_do(tmp_path: Path, backend: FakeBackend) -> None:
    with running(tmp_path, [backend]) as live:
        for reply in (live.call("POST", "/relay/keys", headers=ANN, json={}), live.get("/relay/keys", ANN)):
            assert_error(reply, 404, "not_found")
            assert "[plugins.api_key]" in reply.error["message"]


def test_keys_work_on_after_a_restart(tmp_path: Path, backend: FakeBackend) -> None:
    with running(tmp_path, [backend], plugins=KEYS) as live:
        _, kept = mint(live, label="kept")
        ended_id, ended = mint(live, label="ended")
        live.call("DELETE", f"/relay/keys/{ended_id}", headers=ANN)
        key_id, old = mint(live, label="rotated")
        new = rotate(live, ANN, key_id, grace_hours=1).json["key"]
    with running(tmp_path, [backend], plugins=KEYS) as live:
        for secret, status in ((kept, 200), (ended, 401), (old, 200), (new, 200)):
            assert live.get("/relay/credits", bearer(secret)).status == status
        assert [key["label"] for key in listed(live, ANN)] == ["rotated", "kept"]


def test_no_secret_is_on_disk_or_in_the_log(tmp_path: Path, backend: FakeBackend, capfd) -> None:
    with running(tmp_path, [backend], plugins=KEYS) as live:
        key_id, first = mint(live, ANN | {"Idempotency-Key": "abc"}, label="phone")
        reply = live.call(
            "POST", f"/relay/keys/{key_id}/rotate", headers=ANN | {"Idempotency-Key": "d"}, json={"grace_hours": 1}
        )
        second = reply.json["key"]
        for secret in (first, second, "rk_never-made"):
            live.analyze(bearer(secret))
    written = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"phone" in written
    said = "".join(capfd.readouterr())
    for secret in (first, second):
        assert secret[3:].encode() not in written
        assert secret[3:] not in said


def test_a_key_made_twice_under_one_idempotency_key_is_one_key(live: Live) -> None:
    headers = ANN | {"Idempotency-Key": "8d2e"}
    first = live.call("POST", "/relay/keys", headers=headers, json={"label": "phone"})
    again = live.call("POST", "/relay/keys", headers=headers, json={"label": "phone"})
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"
    assert len(listed(live, ANN)) == 1
    other = live.call("POST", "/relay/keys", headers=headers, json={"label": "tablet"})
    assert_error(other, 422, "idempotency_mismatch")
    key_id = first.json["id"]
    rotated = [
        live.call("POST", f"/relay/keys/{key_id}/rotate", headers=ANN | {"Idempotency-Key": "r"}, json={})
        for _ in range(2)
    ]
    assert rotated[0].body == rotated[1].body
    assert live.get("/relay/credits", bearer(rotated[0].json["key"])).status == 200


def test_a_key_does_not_get_what_was_answered_to_its_owner(live: Live) -> None:
    """It knows the owner's Idempotency-Key and body, and the answer in the store holds another key's secret."""
    _, weak = mint(live)
    minting, turning = {"Idempotency-Key": "mint-2"}, {"Idempotency-Key": "turn"}
    made = live.call("POST", "/relay/keys", headers=ANN | minting, json={"label": "server"})
    path = f"/relay/keys/{made.json['id']}/rotate"
    rotated = live.call("POST", path, headers=ANN | turning, json={})
    assert (made.status, rotated.status) == (201, 200)
    stolen = live.call("POST", "/relay/keys", headers=bearer(weak) | minting, json={"label": "server"})
    assert_error(stolen, 403, "forbidden")
    assert_error(live.call("POST", path, headers=bearer(weak) | turning, json={}), 403, "forbidden")
    again = live.call("POST", path, headers=ANN | turning, json={})
    assert again.body == rotated.body, "its owner does"
