"""What the box has: as it says itself, or as its paths answer."""

import time

import pytest
from relay_spark.discovery import Announced, read_status
from relay_spark.places import _joined

from relay.errors import Unavailable
from relay.ports.inference import CallContext, ChatRequest
from tests.loopback import HANG_UP, Server, json_reply, reply

from .conftest import COMPLETION, Spark

STATUS_PATH, MODEL_LIST, CHAT = "/api/status", "/v1/models", "/v1/chat/completions"
TRANSCRIBE, DIARIZE = "/api/audio/transcribe", "/api/audio/diarize-chunk"


def said(**services):
    return json_reply({"services": services})


def asked(backend):
    """The tasks after the box has been asked."""
    backend.health()
    return backend.tasks


def chat(backend):
    return list(backend.chat(ChatRequest([]), CallContext(deadline=time.monotonic() + 30)))


def test_nothing_is_contacted_before_the_first_question(spark, backend):
    assert spark.connections == 0
    assert backend.tasks == {"transcribe", "diarize", "analyze"}


def test_what_the_box_does_not_announce_is_not_offered(spark, backend):
    spark.says[STATUS_PATH] = said(chat={"ready": True})
    assert asked(backend) == {"analyze"}
    assert backend.models("analyze") == ("gemma", "other")
    assert {request.path for request in spark.calls()} == {MODEL_LIST}


def test_announced_paths_and_models_are_used(spark, backend):
    spark.says = {
        STATUS_PATH: said(chat={"path": "/deep/chat", "model": "other"}),
        "/deep/chat": json_reply(COMPLETION),
    }
    chat(backend)
    assert (spark.calls()[-1].path, spark.calls()[-1].json()["model"]) == ("/deep/chat", "other")


def test_a_path_of_the_settings_wins_over_the_announced_one(spark, backend_for):
    spark.says[STATUS_PATH] = said(chat={"path": "/deep/chat"})
    chat(backend_for(spark.url, chat_path=CHAT))
    assert spark.calls()[-1].path == CHAT


def test_a_path_of_the_settings_is_offered_though_it_is_not_announced(spark, backend_for):
    spark.says[STATUS_PATH] = said(chat={})
    assert asked(backend_for(spark.url, transcribe_path=TRANSCRIBE)) == {"analyze", "transcribe"}


@pytest.mark.parametrize("base", ["/v1", "/v1/", ""])
def test_another_port_of_the_same_host_is_used_with_the_token(spark, backend_for, base):
    with Spark() as other:
        spark.says[STATUS_PATH] = said(chat={"path": CHAT, "base_url": other.url + base})
        chat(backend_for(spark.url, token="sesame-token"))
        assert [request.path for request in other.requests] == [MODEL_LIST, CHAT]
        assert other.requests[-1].headers["authorization"] == "Bearer sesame-token"


@pytest.mark.parametrize("form", ["base_url", "path"])
def test_another_host_is_used_only_when_allowed_and_never_gets_the_token(spark, backend_for, form):
    with Spark() as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        place = {"base_url": f"{elsewhere}/v1"} if form == "base_url" else {"path": elsewhere + CHAT}
        spark.says[STATUS_PATH] = said(chat=place)
        chat(backend_for(spark.url, token="sesame-token"))
        assert (other.requests, spark.calls()[-1].path) == ([], CHAT)
        chat(backend_for(spark.url, token="sesame-token", allow_discovered_hosts=True))
        assert [request.path for request in other.requests] == [MODEL_LIST, CHAT]
        assert all("authorization" not in request.headers for request in other.requests)


def test_a_token_is_not_sent_in_the_clear_because_a_box_says_so(backend_for):
    with Server() as plain:
        backend = backend_for(f"https://127.0.0.1:{plain.port}", token="sesame-token")
        endpoint = backend._places.of("analyze", Announced(base_url=plain.url))
        assert endpoint.client is backend._places._own


@pytest.mark.parametrize(
    "address", ["http://[", "ftp://127.0.0.1", "http://127.0.0.1:none", "nonsense", "http://u:p@127.0.0.1"]
)
def test_an_address_that_cannot_be_used_is_passed_over(spark, backend, address):
    spark.says[STATUS_PATH] = said(chat={"base_url": address})
    chat(backend)
    assert spark.calls()[-1].path == CHAT


@pytest.mark.parametrize("no_discovery", [reply(404), reply(405), reply(200, b"<html>"), json_reply({"ok": True})])
def test_without_discovery_each_path_is_probed(spark, backend, no_discovery):
    spark.says = {STATUS_PATH: no_discovery, TRANSCRIBE: reply(422), DIARIZE: reply(404)}
    assert asked(backend) == {"transcribe", "analyze"}
    assert {request.path for request in spark.calls()} == {MODEL_LIST, TRANSCRIBE, DIARIZE}
    health = backend.health()
    assert health.ok
    assert "diarize missing (status 404)" in health.detail


@pytest.mark.parametrize("answer", [reply(200, b"x"), reply(400), reply(415), reply(429), reply(503)])
def test_a_path_that_refuses_silence_or_is_busy_is_there(spark, backend, answer):
    spark.says = {STATUS_PATH: reply(404), DIARIZE: answer}
    assert "diarize ok" in backend.health().detail


def test_a_box_that_only_chats_may_show_it_by_its_health(spark, backend_for):
    spark.says = {STATUS_PATH: reply(404), MODEL_LIST: reply(404), "/health": reply()}
    backend = backend_for(spark.url, model="m")
    assert "analyze" in asked(backend)
    spark.says["/health"] = reply(404)
    assert "analyze" not in asked(backend)


def test_what_worked_a_moment_ago_is_not_probed(spark, backend, transcribe):
    spark.says[STATUS_PATH] = reply(404)
    transcribe()
    before = spark.paths().count(TRANSCRIBE)
    backend.health()
    assert spark.paths().count(TRANSCRIBE) == before


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({STATUS_PATH: said(chat={"ready": False}, transcribe=True)}, "analyze failing (it says that it is not ready)"),
        ({STATUS_PATH: HANG_UP}, "lost"),
        ({MODEL_LIST: reply(401)}, "plugins.spark.token"),
        ({STATUS_PATH: reply(404), DIARIZE: reply(500)}, "diarize failing (status 500)"),
        ({STATUS_PATH: reply(404), TRANSCRIBE: reply(403)}, "transcribe failing (it refuses the relay's token)"),
    ],
)
def test_health_says_what_fails(spark, backend, says, words):
    spark.says = says
    health = backend.health()
    assert not health.ok
    assert words in health.detail


def test_a_box_that_cannot_be_asked_keeps_its_tasks(spark, backend):
    spark.says[STATUS_PATH] = said(chat={}, transcribe=True)
    assert asked(backend) == {"analyze", "transcribe"}
    spark.__exit__()
    assert not backend.health().ok
    assert backend.tasks == {"analyze", "transcribe"}


def test_a_silent_discovery_does_not_hold_up_the_first_call_for_long(spark, backend_for):
    def silent(request, connection):
        if request.path == STATUS_PATH:
            spark.stopping.wait(30)

    spark.on_head = silent
    backend = backend_for(spark.url, model="m")
    ctx = CallContext(deadline=time.monotonic() + 4)
    assert next(backend.chat(ChatRequest([]), ctx)).text == "hi"
    assert backend.tasks == {"transcribe", "diarize", "analyze"}


def test_after_a_failure_the_box_is_asked_again(spark, backend, monkeypatch):
    monkeypatch.setattr("relay_spark.services.AFTER_FAILURE_SECONDS", 0.0)
    chat(backend)
    spark.says = {CHAT: reply(404), STATUS_PATH: said(transcribe=True)}
    with pytest.raises(Unavailable):
        chat(backend)
    end = time.monotonic() + 10
    while "analyze" in backend.tasks:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"services": []}', b'{"services": null}', b"[" * 99_999, b'"x"', b"\xff"]
)
def test_what_is_no_status_is_none(body):
    assert read_status(body) is None


def test_a_status_is_read_leniently():
    found = read_status(
        b'{"services": {"transcribe": "/t", "chat": {"path": 7, "ready": 1, "max_seconds": "x", "model": null}, '
        b'"diarize": false, "embed": {}}}'
    )
    assert set(found) == {"transcribe", "analyze"}
    assert (found["transcribe"].path, found["analyze"].path, found["analyze"].ready) == ("/t", None, True)
    assert (found["analyze"].max_seconds, found["analyze"].model) == (None, "")


@pytest.mark.parametrize(
    ("prefix", "path", "joined"),
    [
        ("", "/v1/models", "/v1/models"),
        ("/v1", "/v1/models", "/v1/models"),
        ("/gpu/v1", "/v1/models", "/gpu/v1/models"),
        ("/gpu/v1", "/gpu/v1/models", "/gpu/v1/models"),
        ("/gpu", "models", "/gpu/models"),
        ("/v1", "/v10/models", "/v1/v10/models"),
    ],
)
def test_a_path_is_put_behind_a_base_url_once(prefix, path, joined):
    assert _joined(prefix, path) == joined
