"""What one caller asks for amiss is told to that caller, and harms nobody else's calls."""

import pytest

from relay.errors import NoSuchModel, Unavailable, Unsupported
from tests.flows.live import WAV, FakeBackend, Live, assert_error, install, multipart
from tests.flows.test_upstream import ANSWER, MODELS, spark
from tests.loopback import Server, json_reply

LONG = {"object": "error", "message": "This model's maximum context length is 8192 tokens", "code": 400}
IMPOSSIBLE = {"type": "object", "required": ["x"], "properties": {"x": False}}


class Box(Server):
    """A GPU box that reads no prompt with `word` in it."""

    def __init__(self) -> None:
        super().__init__(self._answer)

    def _answer(self, request):
        if request.path == "/api/status":
            services = {"chat": {}, "transcribe": {"model": "parakeet"}, "diarize": {"model": "sortformer"}}
            return json_reply({"services": services})
        if request.path == "/v1/models":
            return json_reply(MODELS)
        return json_reply(LONG, status=400) if b"word" in request.body else json_reply(ANSWER)


@pytest.fixture
def box():
    with Box() as box:
        yield box


@pytest.fixture
def both(box, start):
    """The box, and then its chat once more as another backend."""
    other = f'[plugins.openai_compatible.other]\nbase_url = "{box.url}"\n'
    with start(plugins=spark(box.url) + other) as live:
        assert live.analyze().json["meta"]["backend"] == "spark"
        yield live


@pytest.mark.parametrize("wish", [{"prompt": "word " * 100}, {"schema": IMPOSSIBLE}], ids=["long", "impossible"])
def test_requests_that_cannot_be_answered_leave_a_backend_to_the_others(both: Live, wish) -> None:
    for _ in range(6):
        assert both.analyze("abuser", backend="spark", **wish).status == 502
    assert both.analyze("victim").json["meta"]["backend"] == "spark"
    assert both.core.infer.breaker.state()["spark"]["consecutive_failures"] == 0
    assert both.credits("abuser")["total"] == 10


def test_a_request_the_backend_does_not_accept_is_not_worth_a_retry(both: Live) -> None:
    reply = both.analyze(backend="spark", prompt="word")
    assert_error(reply, 502, "upstream_failed", "upstream")
    assert reply.error["retryable"] is False


def test_a_schema_without_end_is_refused_before_anybody_is_asked(live: Live, backend: FakeBackend) -> None:
    assert_error(live.analyze(schema={"$ref": "#"}), 422, "invalid")
    assert backend.calls == 0


def test_a_backend_that_may_have_a_model_is_not_asked_where_another_has_it(start) -> None:
    unsure, sure = FakeBackend("unsure"), FakeBackend("sure", models=("large",))
    with start(unsure, sure) as live:
        assert live.analyze(model="large").json["meta"]["backend"] == "sure"
        assert live.transcribe(model="large").json["meta"]["backend"] == "sure"
        assert live.analyze(model="small").json["meta"]["backend"] == "unsure", "nobody is known to have it"


@pytest.mark.parametrize("task", ["transcribe", "diarize"])
def test_a_model_the_box_does_not_announce_is_not_found(both: Live, box: Box, task: str) -> None:
    body, content_type = multipart(WAV, backend="spark", model="gemini-3.5-transcribe")
    before = len(box.requests)
    reply = both.call("POST", f"/relay/{task}", body, {**install("inst-1"), "Content-Type": content_type})
    assert_error(reply, 404, "not_found")
    assert not [request for request in box.requests[before:] if request.path.startswith("/api/audio")]


def test_a_model_nobody_has_is_not_found_whoever_says_so(start) -> None:
    one, two = FakeBackend("one"), FakeBackend("two")
    one.fail, two.fail = NoSuchModel("one has no model 'x'"), NoSuchModel("two has no model 'x'")
    with start(one, two) as live:
        reply = live.analyze(model="x")
        assert_error(reply, 404, "not_found")
        assert "one has no model 'x'; two has" in reply.error["message"]
        job = live.call(
            "POST", "/relay/jobs", headers=install("inst-1"), json={"task": "analyze", "prompt": "x", "model": "x"}
        )
        from tests.flows.background import ended

        assert ended(live, job)["error"]["code"] == "not_found"
        two.fail = Unsupported("two cannot")
        assert_error(live.analyze(model="x"), 503, "no_backend", "relay")
        two.fail = Unavailable("away")
        assert_error(live.analyze(model="x"), 503, "upstream_unavailable", "upstream")


URLS = ["http://169.254.169.254/latest", "https://example.com/a.png", "file:///etc/passwd", "//host/a", " http://h", ""]
PARTS = [
    lambda url: {"type": "image_url", "image_url": {"url": url}},
    lambda url: {"type": "image_url", "image_url": url},
    lambda url: {"type": "video_url", "video_url": {"url": url}},
    lambda url: {"type": "audio_url", "audio_url": [{"url": url}]},
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("part", PARTS)
def test_no_server_is_sent_to_a_url_by_a_part_of_a_message(live: Live, backend: FakeBackend, part, url: str) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "See http://example.com"}, part(url)]}]
    who = install("inst-1")
    for path, body in (
        ("/relay/analyze", {"messages": messages}),
        ("/relay/v1/chat/completions", {"model": "default", "messages": messages}),
        ("/relay/jobs", {"task": "analyze", "messages": messages}),
    ):
        reply = live.call("POST", path, headers=who, json=body)
        assert_error(reply, 400, "url_not_allowed")
        assert "data: URL" in reply.error["message"]
        assert reply.error["details"]["path"] == "messages.0.content.1"
    assert backend.calls == 0


@pytest.mark.parametrize("part", PARTS)
def test_what_a_part_carries_itself_passes(live: Live, backend: FakeBackend, part) -> None:
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "http://example.com"}, part("data:image/png;base64,AA==")],
        }
    ]
    assert live.call("POST", "/relay/analyze", headers=install("inst-1"), json={"messages": messages}).status == 200
    assert backend.asked[0].messages[0]["content"] == messages[0]["content"]


def test_a_url_anywhere_else_in_a_part_is_one_too(live: Live) -> None:
    part = {"type": "input_audio", "input_audio": {"data": "HTTP://10.0.0.1/a.wav", "format": "wav"}}
    messages = [{"role": "user", "content": [part]}]
    assert_error(live.analyze(prompt=None, messages=messages), 400, "url_not_allowed")


@pytest.mark.parametrize("letter", ["ä", "a"])
def test_a_field_is_whole_or_refused(live: Live, backend: FakeBackend, letter: str) -> None:
    """`a` before it puts the limit into the middle of an ä."""
    fitting = "a" + letter * ((64 * 1024 - 1) // len(letter.encode()))
    assert live.transcribe(prompt=fitting).status == 200
    assert backend.asked[-1].prompt == fitting
    assert_error(live.transcribe(prompt=fitting + letter * 2), 422, "invalid")


@pytest.mark.parametrize("path", ["/relay/transcribe", "/relay/diarize"])
def test_a_file_and_a_url_in_one_form_are_refused(live: Live, path: str) -> None:
    body, content_type = multipart(WAV, url="https://example.com/a.wav")
    reply = live.call("POST", path, body, {**install("inst-1"), "Content-Type": content_type})
    assert_error(reply, 422, "invalid")
    assert reply.error["details"]["path"] == "url"


def test_a_form_without_its_task_says_which_field_is_missing(live: Live) -> None:
    body, content_type = multipart(WAV)
    reply = live.call("POST", "/relay/jobs", body, {**install("inst-1"), "Content-Type": content_type})
    assert_error(reply, 422, "invalid")
    assert reply.error["details"]["path"] == "task"


def test_an_unknown_method_is_405(live: Live) -> None:
    assert_error(live.call("FROB", "/relay/health", b"", install("inst-1")), 405, "method_not_allowed")


def test_the_record_of_a_failed_call_says_when_and_why(live: Live, backend: FakeBackend) -> None:
    backend.fail = Unavailable("away")
    live.analyze(job="j")
    job = live.get("/relay/jobs/j", install("inst-1")).json["job"]
    assert (job["state"], job["error"]["message"]) == ("failed", "away")
    assert job["finished_at"] >= job["created_at"]


def test_the_record_of_a_call_that_a_defect_ended_says_so(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(live.core.infer, "answer", broken)
    assert live.analyze(job="k").status == 500
    job = live.get("/relay/jobs/k", install("inst-1")).json["job"]
    assert (job["error"]["code"], job["finished_at"] is not None) == ("abandoned", True)
    assert "stopped or failed" in job["error"]["message"]


def test_the_operator_sees_what_waits_to_be_reported(live: Live) -> None:
    session = live.login()
    assert live.get("/admin/callbacks", session).json["pending"] == {"count": 0, "rows": []}
    assert_error(live.call("POST", "/admin/callbacks/nothing/retry", b"", session), 404, "not_found")
    assert_error(live.call("DELETE", "/admin/callbacks/nothing", b"", session), 404, "not_found")
    assert_error(live.get("/admin/callbacks"), 401, "unauthenticated")
