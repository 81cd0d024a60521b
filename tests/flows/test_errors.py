"""Every refusal has the contract's shape, and costs nothing."""

import json

import pytest

from relay.errors import BlockedByUpstream, OutcomeUnknown, Unavailable, Unsupported, UpstreamFailed, UpstreamTimeout
from relay.services import schemas
from tests.flows.live import (
    OPERATOR,
    OPERATOR_KEY,
    WAV,
    FakeBackend,
    Live,
    assert_error,
    install,
    multipart,
    user,
)

JSON = {"Content-Type": "application/json"}
DEEP = b'{"prompt":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


@pytest.fixture(autouse=True)
def nothing_is_charged(live: Live):
    yield
    assert live.core.storage.read(lambda tx: tx.partitions("ledger")) == []
    live.assert_balanced()


def post(live: Live, body: bytes, content_type: str = "application/json", path: str = "/relay/analyze", **headers: str):
    return live.call("POST", path, body, {"Content-Type": content_type} | install("inst-1") | headers)


@pytest.mark.parametrize("path", ["/relay/analyze", "/relay/transcribe"])
def test_without_credentials_a_call_is_401(live: Live, path: str) -> None:
    assert_error(live.call("POST", path, b"{}", JSON), 401, "unauthenticated")


@pytest.mark.parametrize("path", ["/relay/credits", "/relay/credits/history", "/relay/users/ann"])
def test_without_credentials_reading_is_401(live: Live, path: str) -> None:
    assert_error(live.get(path), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"X-Recap-Operator-Key": OPERATOR_KEY}, 400, "bad_identity"),
        ({"X-Recap-User-Id": "ann"}, 401, "unauthenticated"),
        ({"X-Recap-User-Id": "ann", "X-Recap-Install-Id": "inst-1"}, 401, "unauthenticated"),
        ({"X-Recap-Operator-Key": "wrong", "X-Recap-User-Id": "ann"}, 401, "bad_operator_key"),
        ({"X-Recap-Operator-Key": "wrong", "X-Recap-Install-Id": "inst-1"}, 401, "bad_operator_key"),
        ({"Authorization": "Bearer rk_0123456789"}, 401, "bad_key"),
        ({"Authorization": "Bearer rk_0123456789", "X-Recap-Install-Id": "inst-1"}, 401, "bad_key"),
        ({"Authorization": "LIC1-abc"}, 401, "unauthenticated"),
        ({"Authorization": "LIC1-abc", "X-Recap-Install-Id": "inst-1"}, 401, "bad_license"),
        ({"Authorization": "Bearer something"}, 401, "unauthenticated"),
    ],
)
def test_half_and_wrong_credentials(live: Live, headers: dict[str, str], status: int, code: str) -> None:
    assert_error(live.analyze(headers), status, code)
    assert_error(live.get("/relay/credits", headers), status, code)


BAD_IDS = ["", ".", "..", "a b", "a/b", "ä", "x" * 129, "a,b", "a\tb", "<a>"]


@pytest.mark.parametrize("bad", BAD_IDS[1:])
def test_an_id_outside_the_pattern_is_400(live: Live, bad: str) -> None:
    text = bad.encode().decode("latin-1")
    for headers in (install(text), user(text)):
        assert_error(live.analyze(headers), 400, "bad_identity")
    if bad not in {".", ".."}:
        assert_error(live.analyze("inst-1", job=text), 400, "bad_identity")


def test_an_empty_id_is_none(live: Live) -> None:
    assert_error(live.analyze(install("")), 401, "unauthenticated")
    assert_error(live.analyze(user("")), 400, "bad_identity")
    assert_error(live.analyze("inst-1", job=""), 400, "bad_identity")
    assert_error(live.analyze("inst-1", job="a@b"), 400, "bad_identity")


@pytest.mark.parametrize("bad", ["a%20b", "%2e%2e", "%2E", "a%2Cb", "x" * 129, "%C3%A4", "a%00b", "a%0Ab"])
def test_a_user_id_in_the_path_is_held_to_the_pattern(live: Live, bad: str) -> None:
    reply = live.get(f"/relay/users/{bad}", OPERATOR)
    assert reply.status == 400
    assert reply.code in {"bad_identity", "bad_request"}
    assert live.core.storage.read(lambda tx: tx.count("credits")) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"prompt": "x"} {}',
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud800x"}',
        b'{"prompt": NaN}',
        DEEP,
        b"[" * 50_000,
    ],
)
def test_a_body_that_is_not_json_is_400(live: Live, body: bytes) -> None:
    assert_error(post(live, body), 400, "bad_json")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "b"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
        ({"prompt": "a", "temperature": "warm"}, "temperature"),
        ({"prompt": "a", "max_output_tokens": 0}, "max_output_tokens"),
        ({"prompt": "a", "max_output_tokens": True}, "max_output_tokens"),
        ({"prompt": "a", "stream": "yes"}, "stream"),
        ({"prompt": "a", "schema": "x"}, "schema"),
        ({"prompt": "a", "schema": {"type": "wizard"}}, "schema"),
        ({"prompt": "a", "schema": {"$ref": "http://127.0.0.1/x"}}, "schema"),
        ({"prompt": "a", "schema": {"pattern": "(a+)+$"}}, "schema"),
        ({"prompt": "a", "schema": {"properties": {"a": {"$schema": "x"}}}}, "schema"),
    ],
)
def test_json_with_a_mistake_in_it_is_422_and_says_where(live: Live, body: dict, path: str) -> None:
    reply = post(live, json.dumps(body).encode())
    assert_error(reply, 422, "invalid")
    assert reply.error["details"]["path"].startswith(path)


def test_json_of_the_wrong_kind_is_422(live: Live) -> None:
    for body in (b"[]", b"7", b'"x"', b"null"):
        assert_error(post(live, body), 422, "invalid")


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data; boundary=cut", "application/jsonx"])
def test_analyze_takes_json_only(live: Live, content_type: str) -> None:
    assert_error(post(live, b'{"prompt":"x"}', content_type), 415, "unsupported_media")


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/octet-stream", "multipart/mixed; boundary=cut"]
)
def test_transcribe_takes_multipart_only(live: Live, content_type: str) -> None:
    assert_error(post(live, multipart(WAV)[0], content_type, "/relay/transcribe"), 415, "unsupported_media")


def upload(live: Live, body: bytes, content_type: str = "multipart/form-data; boundary=cut"):
    return post(live, body, content_type, "/relay/transcribe")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--cut",
        b"nonsense",
        b"--other\r\n\r\n--other--\r\n",
        multipart(WAV)[0][:200],
        multipart(WAV)[0][:-10],
        b'--cut\r\nContent-Disposition: form-data; name="language"\r\n\r\n\xff\xfe\r\n' + multipart(WAV)[0],
        b"".join(multipart(None, **{f"f{n}": "x"})[0][:-9] for n in range(40)) + multipart(WAV)[0],
    ],
    ids=["empty", "half a boundary", "nonsense", "another boundary", "cut", "without its end", "not utf-8", "40 parts"],
)
def test_a_broken_multipart_body_is_400(live: Live, body: bytes) -> None:
    assert_error(upload(live, body), 400, "bad_request")
    assert list(live.core.spool_dir.iterdir()) == []


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 500])
def test_a_multipart_type_without_a_usable_boundary_is_400(live: Live, boundary: str) -> None:
    assert_error(upload(live, multipart(WAV)[0], f"multipart/form-data{boundary}"), 400, "bad_request")


def test_an_upload_without_its_file_is_422(live: Live) -> None:
    for body in (b"--cut--\r\n", multipart(None, language="en")[0]):
        reply = upload(live, body)
        assert_error(reply, 422, "invalid")
        assert reply.error["details"]["path"] == "file"


def test_two_files_or_a_huge_field_are_422(live: Live) -> None:
    assert_error(upload(live, multipart(WAV)[0][:-9] + multipart(WAV)[0]), 422, "invalid")
    assert_error(upload(live, multipart(WAV, prompt="x" * 70_000)[0]), 422, "invalid")


@pytest.mark.parametrize("content", [b"", b"this is not sound" * 99, b"RIFF\x10\0\0\0WAVEfmt ", b"\0" * 5000])
def test_a_file_that_is_not_audio_is_415(live: Live, backend: FakeBackend, content: bytes) -> None:
    assert_error(upload(live, multipart(content)[0]), 415, "unsupported_media")
    assert backend.calls == 0
    assert list(live.core.spool_dir.iterdir()) == []


def test_unknown_paths_and_methods(live: Live) -> None:
    who = install("inst-1")
    assert_error(live.get("/nothing"), 404, "not_found")
    assert_error(live.get("/relay/nothing"), 404, "not_found")
    assert_error(live.get("/Relay/health"), 404, "not_found")
    assert_error(live.get("/relay/health/"), 404, "not_found")
    assert_error(live.call("POST", "/relay/health", b"", who), 405, "method_not_allowed")
    assert live.call("DELETE", "/relay/analyze", headers=who).headers["allow"] == "POST, OPTIONS"
    assert_error(live.call("WIZARD", "/relay/analyze", headers=who), 405, "method_not_allowed")
    assert_error(live.get("/relay/credits/history?limit=0", who), 400, "bad_request")
    assert_error(live.get("/relay/credits/history?before=x", who), 400, "bad_request")


TARGETS = [
    b"admin/credits",
    b"relay/health",
    b"*",
    b"?x",
    b"%2Fadmin/credits",
    b"//admin/credits",
    b"http://x//admin/credits",
]


@pytest.mark.parametrize("target", TARGETS)
def test_no_spelling_of_a_target_gets_past_the_checks(live: Live, target: bytes) -> None:
    for method in (b"GET", b"PUT"):
        reply = live.raw(method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert reply.status in {400, 401, 404}, reply.body
        assert_error(reply, reply.status, reply.code)


@pytest.mark.parametrize("target", [b"relay/analyze", b"//relay/analyze", b"%2frelay/analyze", b"/relay%2Fanalyze"])
def test_no_spelling_of_a_metered_route_is_free(live: Live, backend: FakeBackend, target: bytes) -> None:
    body = b'{"prompt":"x"}'
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    assert live.raw(head % (target, len(body)) + body).status in {400, 401, 404}
    assert backend.calls == 0


def test_a_header_with_underscores_is_nobody(live: Live) -> None:
    """CGI's names would make `X_Recap_User_Id` the same header."""
    head = "GET /relay/credits HTTP/1.1\r\nHost: x\r\n"
    key = f"X_Recap_Operator_Key: {OPERATOR_KEY}\r\n"
    assert_error(live.raw(f"{head}{key}X_Recap_User_Id: ann\r\n\r\n".encode()), 401, "unauthenticated")
    assert_error(live.raw(f"{head}X_Recap_Install_Id: a\r\n\r\n".encode()), 401, "unauthenticated")
    mixed = f"{head}X-Recap-Operator-Key: {OPERATOR_KEY}\r\nX-Recap_User-Id: ann\r\n\r\n"
    assert_error(live.raw(mixed.encode()), 400, "bad_identity")
    swapped = f"{head}X-Recap-Operator-Key: {OPERATOR_KEY}\r\nX-Recap-User-Id: ann\r\nX-Recap_User-Id: bob\r\n\r\n"
    assert live.raw(swapped.encode()).status == 200


def test_an_identity_given_twice_is_refused(live: Live) -> None:
    head = "GET /relay/credits HTTP/1.1\r\nHost: x\r\n"
    twice = f"{head}X-Recap-Install-Id: a\r\nX-Recap-Install-Id: b\r\n\r\n"
    assert_error(live.raw(twice.encode()), 400, "bad_identity")
    users = f"{head}X-Recap-Operator-Key: {OPERATOR_KEY}\r\nX-Recap-User-Id: a\r\nX-Recap-User-Id: b\r\n\r\n"
    assert_error(live.raw(users.encode()), 400, "bad_identity")


def test_a_header_bomb_is_431(live: Live) -> None:
    bomb = b"GET /relay/health HTTP/1.1\r\nHost: x\r\n" + b"X-A: %s\r\n" % (b"a" * 8000) * 40 + b"\r\n"
    assert_error(live.raw(bomb), 431, "headers_too_large")


def head_of(path: str, length: int, credentials: str = "X-Recap-Install-Id: a\r\n") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{credentials}Content-Length: {length}\r\n\r\n".encode()


def test_a_body_too_large_is_413_before_it_is_sent(live: Live) -> None:
    assert_error(live.raw(head_of("/relay/transcribe", 3 * 2**30)), 413, "too_large")
    assert_error(live.raw(head_of("/relay/analyze", 9 * 2**20)), 413, "too_large")
    assert_error(live.raw(head_of("/relay/transcribe", 3 * 2**30, "")), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("failure", "status", "code", "origin", "retryable"),
    [
        (UpstreamFailed("it broke"), 502, "upstream_failed", "upstream", True),
        (Unavailable("it is away"), 503, "upstream_unavailable", "upstream", True),
        (Unsupported("not this"), 503, "no_backend", "relay", True),
        (OutcomeUnknown("who knows"), 502, "upstream_failed", "upstream", False),
        (UpstreamTimeout("too slow"), 504, "upstream_timeout", "upstream", True),
        (BlockedByUpstream("it refused"), 422, "blocked_by_upstream", "upstream", False),
        (KeyError("a defect of the plugin"), 502, "upstream_failed", "upstream", False),
    ],
)
def test_a_failing_backend_charges_nothing(
    live: Live, backend: FakeBackend, failure: Exception, status: int, code: str, origin: str, retryable: bool
) -> None:
    backend.fail = failure
    for reply in (live.analyze(), live.transcribe()):
        assert_error(reply, status, code, origin)
        assert reply.error["retryable"] is retryable
    assert live.credits()["total"] == 10
    assert live.credits()["held"] == 0


def test_an_empty_answer_charges_nothing(live: Live, backend: FakeBackend) -> None:
    backend.text = " \n"
    assert_error(live.analyze(), 502, "upstream_failed", "upstream")
    assert_error(live.transcribe(), 502, "upstream_failed", "upstream")
    assert live.credits()["total"] == 10


def test_an_answer_that_does_not_fit_the_schema_charges_nothing(live: Live, backend: FakeBackend) -> None:
    schema = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
    for text in ("no json", '{"title": 7}', "{}", '{"title": "x"} and more'):
        backend.text = text
        assert_error(live.analyze(schema=schema), 502, "upstream_failed", "upstream")


def test_a_schema_made_to_keep_the_relay_busy_is_refused(live: Live, backend: FakeBackend, monkeypatch) -> None:
    """Thirty doublings: a billion looks at one answer."""
    monkeypatch.setattr(schemas, "APPLY_SECONDS", 0.2)
    rules = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)}
    rules["a30"] = {"type": "string"}
    draft = "https://json-schema.org/draft/2020-12/schema"
    backend.text = "1"
    assert_error(live.analyze(schema={"$schema": draft, "$defs": rules, "$ref": "#/$defs/a0"}), 422, "invalid")
    again = {"$schema": draft, "anyOf": [{"items": {"$ref": "#"}}] * 2, "type": "array"}
    backend.text = "[" * 60 + "1" + "]" * 60
    assert_error(live.analyze(schema=again), 422, "invalid")


def test_a_defect_inside_the_relay_is_500_without_a_traceback(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(live.core.meter, "read", broken)
    monkeypatch.setattr(live.core.infer, "candidates", broken)
    for reply in (live.get("/relay/credits", install("a")), live.analyze("a"), live.transcribe("a")):
        assert_error(reply, 500, "internal", "relay")
        assert b"secret inside" not in reply.body
        assert b"RuntimeError" not in reply.body
    assert list(live.core.spool_dir.iterdir()) == []


def test_a_check_of_credentials_that_breaks_is_503_and_asks_nobody_else(live: Live, monkeypatch) -> None:
    def broken(_headers: object) -> None:
        raise ValueError(OPERATOR_KEY)

    monkeypatch.setattr(live.core.registry.auth[0], "identify", broken)
    reply = live.analyze("inst-1")
    assert_error(reply, 503, "upstream_unavailable", "upstream")
    assert OPERATOR_KEY.encode() not in reply.body
