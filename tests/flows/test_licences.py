"""Licences over HTTP: one account for all installs, the licence's tier, its end, and keys made with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
import time_machine

from tests.flows.live import FakeBackend, Live, Reply, assert_error, at_once, eventually, install, running, user
from tests.loopback import Request, Server, json_reply
from tests.plugins.keysat.keys import (
    ACCOUNT,
    LICENCE,
    OTHER_PRODUCT,
    OTHER_SIGNER,
    PEM,
    PRODUCT,
    key_of,
    licence_key,
    payload_of,
)

KEYSAT = f"""
[plugins.keysat]
public_keys = ['''{PEM}''']
products = {{ "{PRODUCT}" = "pro", "{OTHER_PRODUCT}" = "gold" }}
"""
API_KEY = "[plugins.api_key]\n"
GOOD = licence_key()
EXPIRED = licence_key(expires=1_700_000_001)
THIRD_PRODUCT = UUID("77777777-2222-4333-8444-555555555555")


@pytest.fixture
def live(tmp_path: Path, backend: FakeBackend) -> Iterator[Live]:
    with running(tmp_path, [backend], plugins=API_KEY + KEYSAT) as relay:
        yield relay


def holder(text: str = GOOD, name: str = "inst-1", scheme: str = "") -> dict[str, str]:
    return install(name) | {"Authorization": scheme + text}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def assert_refused(reply: Reply, reason: str) -> None:
    assert_error(reply, 401, "bad_license")
    assert reply.error["details"] == {"reason": reason}


def mint(live: Live, who: dict[str, str]) -> str:
    reply = live.call("POST", "/relay/keys", headers=who, json={})
    assert reply.status == 201, reply.body
    return reply.json["key"]


def grant(live: Live, amount: int) -> None:
    live.core.credits.grant(ACCOUNT, amount, reason="bought", actor="test", make_row=True)


def test_all_installs_of_a_licence_share_its_tier_and_its_credits(live: Live) -> None:
    prefix, payload, signature = GOOD.split("-")
    whos = [
        holder(),
        holder(name="inst-2", scheme="Bearer "),
        holder(f"{prefix}-{payload.lower()}-{signature}", "inst-3"),
    ]
    assert [live.analyze(who).json["credits"]["remaining"] for who in whos] == [49, 48, 47]
    for who in whos:
        balance = live.credits(who)
        assert (balance["tier"], balance["remaining"], balance["capped"]) == ("pro", 47, "monthly")
    assert live.row(ACCOUNT) is not None
    assert all(live.row(f"inst:inst-{n}") is None for n in (1, 2, 3))
    live.assert_balanced()


def test_installs_of_one_licence_at_once_never_overspend(live: Live) -> None:
    live.edit(ACCOUNT, tier_snapshot="pro", core_closed=True)
    codes = [reply.status for reply in at_once(60, lambda n: live.analyze(holder(name=f"inst-{n}")))]
    assert (codes.count(200), codes.count(402)) == (50, 10)


def test_the_row_of_a_licence_says_license(live: Live) -> None:
    live.analyze(holder())
    (row,) = live.get("/admin/credits", live.login()).json["rows"]
    assert (row["credit_key"], row["type"], row["tier_snapshot"]) == (ACCOUNT, "license", "pro")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("LIC1-nonsense", "bad_format"),
        (key_of(payload_of() + b"\0"), "bad_format"),
        ("lic1" + GOOD[4:], "bad_format"),
        (licence_key(OTHER_SIGNER), "bad_signature"),
        (licence_key(product=THIRD_PRODUCT), "product_mismatch"),
        (licence_key(bound="host-01"), "fingerprint_mismatch"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "Bearer "])
def test_a_wrong_licence_is_401_and_never_the_install_beside_it(
    live: Live, text: str, reason: str, scheme: str
) -> None:
    who = holder(text, scheme=scheme)
    assert_refused(live.analyze(who), reason)
    assert_refused(live.transcribe(who), reason)
    assert_refused(live.get("/relay/credits", who), reason)
    assert_refused(live.call("POST", "/relay/keys", headers=who, json={}), reason)
    assert live.row("inst:inst-1") is None


def test_a_refused_licence_can_be_read_from_another_origin(live: Live) -> None:
    reply = live.analyze(holder("LIC1-nonsense") | {"Origin": "https://app.example"})
    assert_refused(reply, "bad_format")
    assert reply.headers["access-control-allow-origin"] in {"*", "https://app.example"}


def test_a_licence_without_an_install_is_401(live: Live) -> None:
    assert_error(live.analyze({"Authorization": GOOD}), 401, "unauthenticated")


def test_a_licence_with_a_bad_install_id_is_400(live: Live) -> None:
    assert_error(live.analyze(holder(name="a b")), 400, "bad_identity")


@pytest.mark.parametrize("text", [GOOD, "LIC1-nonsense"])
def test_the_operator_key_comes_before_a_licence(live: Live, text: str) -> None:
    assert live.analyze(user("ann") | holder(text)).status == 200
    assert live.row("user:ann") is not None
    assert live.row(ACCOUNT) is None


def test_a_user_without_the_operator_key_is_401_also_with_a_licence(live: Live) -> None:
    assert_error(live.analyze({"X-Recap-User-Id": "ann"} | holder()), 401, "unauthenticated")


def test_a_licence_comes_before_its_install(live: Live) -> None:
    live.analyze(install("inst-1"))
    assert live.credits(holder())["remaining"] == 50
    assert live.credits(install("inst-1"))["remaining"] == 9


def test_an_expired_licence_reads_its_credits_and_spends_purchased_ones_only(live: Live) -> None:
    who = holder(EXPIRED)
    assert (live.credits(who)["remaining"], live.credits(who)["total"]) == (0, 0)
    assert_error(live.analyze(who), 402, "insufficient_credits")
    grant(live, 2)
    reply = live.analyze(who)
    assert reply.status == 200
    assert [reply.json["credits"][name] for name in ("charged", "remaining", "purchased")] == [1, 0, 1]
    assert [entry["bucket"] for entry in live.entries(ACCOUNT) if entry["kind"] == "charge"] == ["purchased"]
    renewed = live.credits(holder(licence_key(issued=1_800_000_000)))
    assert (renewed["remaining"], renewed["purchased"]) == (50, 1)
    live.assert_balanced()


def test_a_key_made_with_a_licence_ends_with_it(live: Live) -> None:
    with time_machine.travel(1_800_000_000, tick=True):
        who = holder(licence_key(expires=1_800_000_060))
        secret = mint(live, who)
        assert live.credits(bearer(secret))["remaining"] == 50
        grant(live, 1)
    with time_machine.travel(1_800_000_060, tick=True):
        balance = live.credits(bearer(secret))
        assert (balance["remaining"], balance["purchased"], balance["tier"]) == (0, 1, "pro")
        assert live.analyze(bearer(secret)).status == 200
        assert_error(live.analyze(bearer(secret)), 402, "insufficient_credits")
        assert live.credits(holder(licence_key(issued=1_800_000_000)))["remaining"] == 50
        assert live.credits(bearer(secret))["remaining"] == 50, "the licence was renewed"


def test_a_key_of_a_licence_lists_and_ends_itself_as_any_other(live: Live) -> None:
    secret = mint(live, holder())
    (key,) = live.get("/relay/keys", bearer(secret)).json["keys"]
    assert_error(live.call("POST", "/relay/keys", headers=bearer(secret), json={}), 403, "forbidden")
    assert live.call("DELETE", f"/relay/keys/{key['id']}", headers=bearer(secret)).status == 200
    assert_error(live.get("/relay/credits", bearer(secret)), 401, "bad_key")


def test_a_key_of_a_licence_is_nobody_where_licences_are_no_longer_taken(tmp_path: Path, backend: FakeBackend) -> None:
    with running(tmp_path, [backend], plugins=API_KEY + KEYSAT) as relay:
        secret = mint(relay, holder())
        own = mint(relay, install("inst-9"))
    with running(tmp_path, [FakeBackend()], plugins=API_KEY) as relay:
        assert_refused(relay.get("/relay/credits", bearer(secret)), "not_found")
        assert_refused(relay.get("/relay/credits", holder()), "not_supported")
        assert relay.credits(bearer(own))["remaining"] == 10


def test_a_tier_that_is_not_configured_is_said_at_the_start_and_grants_nothing(
    tmp_path: Path, backend: FakeBackend
) -> None:
    with structlog.testing.capture_logs() as logged, running(tmp_path, [backend], plugins=KEYSAT) as relay:
        balance = relay.credits(holder(licence_key(product=OTHER_PRODUCT)))
    assert (balance["tier"], balance["remaining"]) == ("core", 10)
    (said,) = [line for line in logged if line["event"] == "licence_tiers_unknown"]
    assert said["tiers"] == ["gold"]


class Issuer:
    def __init__(self) -> None:
        self.says: dict[str, Any] = {"ok": True, "license_id": str(LICENCE), "product_id": str(PRODUCT)}
        self.asked = 0

    def __call__(self, request: Request) -> Any:
        self.asked += 1
        return json_reply(self.says)


def test_a_revoked_licence_and_the_keys_made_with_it_are_401_within_the_hour(
    tmp_path: Path, backend: FakeBackend
) -> None:
    issuer = Issuer()
    with Server(issuer) as server, time_machine.travel(1_800_000_000, tick=True) as time:
        plugins = f'{API_KEY}{KEYSAT}url = "{server.url}"\n'
        with running(tmp_path, [backend], plugins=plugins) as relay:
            secret = mint(relay, holder())
            issuer.says = {"ok": False, "reason": "revoked"}
            assert relay.credits(bearer(secret))["remaining"] == 50
            time.shift(67 * 60)
            relay.get("/relay/credits", bearer(secret))
            eventually(lambda: relay.get("/relay/credits", bearer(secret)).status == 401)
            assert issuer.asked == 2
            for who in (bearer(secret), holder()):
                assert_refused(relay.analyze(who), "revoked")
        with running(tmp_path, [FakeBackend()], plugins=plugins) as relay:
            for who in (bearer(secret), holder()):
                assert_refused(relay.analyze(who), "revoked")
            assert issuer.asked == 2, "the verdict outlived the restart"


def test_the_operator_sees_what_the_server_said_and_has_it_asked_again(tmp_path: Path, backend: FakeBackend) -> None:
    issuer = Issuer()
    with Server(issuer) as server, running(tmp_path, [backend], plugins=f'{KEYSAT}url = "{server.url}"\n') as relay:
        admin = relay.login()
        assert relay.get("/admin/license-cache", admin).json["verdicts"] == []
        assert relay.analyze(holder()).status == 200
        eventually(lambda: relay.get("/admin/license-cache", admin).json["verdicts"][0]["verdict"] == "active")
        issuer.says = {"ok": False, "reason": "revoked"}
        assert relay.analyze(holder()).status == 200, "the verdict is good for an hour"
        body = {"licence": ACCOUNT}
        assert relay.call("DELETE", "/admin/license-cache", headers=admin, json=body).status == 200
        eventually(lambda: relay.analyze(holder()).status == 401)
        page = relay.get("/admin/license-cache?q=revoked", admin).json
        (row,) = page["verdicts"]
        assert (page["enabled"], row["verdict"], row["reason"]) == (True, "refused", "revoked")
        assert relay.get("/admin/license-cache?q=nothing", admin).json["verdicts"] == []
        unknown = relay.call("DELETE", "/admin/license-cache", headers=admin, json={"licence": "0" * 16})
        assert unknown.status == 404
        wrong = relay.call("DELETE", "/admin/license-cache", headers=admin, json={"licence": "../x"})
        assert wrong.status == 422


def test_a_licence_that_cannot_be_checked_is_503_where_the_operator_denies(
    tmp_path: Path, backend: FakeBackend
) -> None:
    plugins = f'{API_KEY}{KEYSAT}url = "http://127.0.0.1:9"\non_unreachable = "deny"\n'
    with running(tmp_path, [backend], plugins=plugins) as relay:
        reply = relay.analyze(holder())
        assert_error(reply, 503, "upstream_unavailable", origin="upstream")
        assert int(reply.headers["retry-after"]) > 0
        assert relay.analyze(install("inst-1")).status == 200


def test_check_online_asks_the_licence_server(tmp_path: Path) -> None:
    from tests.flows.processes import run_relay

    path = tmp_path / "plugins.toml"
    for pem, code, word in ((PEM, 0, "keysat: healthy"), ("x", 1, "keysat: not healthy")):
        with Server(lambda _, pem=pem: json_reply({"public_key_pem": pem})) as server:
            path.write_text(f'[plugins.jsonfile]\n{KEYSAT}url = "{server.url}"\n')
            done = run_relay("check", "--online", "--config", str(path))
        assert done.returncode == code
        assert word in done.stdout + done.stderr
