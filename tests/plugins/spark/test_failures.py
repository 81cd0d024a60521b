"""Each way the Spark server can fail, and what the relay calls it."""

import time

import pytest
from structlog.testing import capture_logs

from relay.errors import NotAccepted, OutcomeUnknown, PluginError, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.ports.inference import Audio, CallContext, ChatRequest, TranscribeRequest
from relay.shapes.failures import OutOfMemory
from relay.shapes.patience import MAX_TRIES, MAX_WAIT, retry_after
from relay.upstream import HTTPReply
from tests.loopback import HANG_UP, Raw, json_reply, reply

from .conftest import COMPLETION

CHAT, MODEL_LIST, TRANSCRIBE = "/v1/chat/completions", "/v1/models", "/api/audio/transcribe"
OOM = {"error": {"message": "CUDA out of memory. Tried to allocate 2 GiB", "type": "server_error"}}
LONG = {"object": "error", "message": "This model's maximum context length is 8192 tokens", "code": 400}


@pytest.fixture(params=["chat", "transcribe"])
def fail(request, spark, ask, transcribe):
    """Makes the server say something, and gives back the failure of a call."""

    def fail(said):
        spark.says = {CHAT: said, TRANSCRIBE: said}
        with pytest.raises(PluginError) as failure:
            ask() if request.param == "chat" else transcribe()
        return failure.value

    return fail


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (reply(400, b"no"), NotAccepted, "status 400"),
        (reply(400, b"you said: out of memory"), NotAccepted, "status 400"),
        (reply(413), NotAccepted, "send less"),
        (reply(415), UpstreamFailed, "status 415"),
        (json_reply({"detail": [{"loc": ["file"]}]}, status=422), NotAccepted, "status 422"),
        (reply(401), Unavailable, "plugins.spark.token"),
        (reply(403), Unavailable, "plugins.spark.token"),
        (reply(404), Unavailable, "_path"),
        (reply(405), Unavailable, "_path"),
        (reply(302, location="http://elsewhere"), UpstreamFailed, "status 302"),
        (reply(500, b"oops"), UpstreamFailed, "status 500"),
        (reply(502, b"<html>"), UpstreamFailed, "status 502"),
        *((reply(status), UpstreamTimeout, f"status {status}") for status in (408, 504, 522, 524)),
        (json_reply(OOM, status=500), OutOfMemory, "GPU memory"),
        (json_reply(LONG, status=400), NotAccepted, "longer than this model"),
        (reply(200, b"<html>hello</html>"), UpstreamFailed, "cannot be used"),
        (reply(200, b""), UpstreamFailed, "cannot be used"),
        (reply(200, b"null"), UpstreamFailed, "cannot be used"),
        (reply(200, b'{"text": "cut'), UpstreamFailed, "cannot be used"),
        (HANG_UP, OutcomeUnknown, "lost"),
        (Raw(reset=True), OutcomeUnknown, "lost"),
        (Raw(b"\0\1\2\3\r\n\r\n", close=True), OutcomeUnknown, "lost"),
    ],
)
def test_a_failure_has_its_name(fail, said, error, words):
    failure = fail(said)
    assert type(failure) is error
    assert words in failure.message


def test_a_server_that_is_down_is_unavailable(spark, backend_for, ctx):
    spark.__exit__()
    backend = backend_for(spark.url, model="m")
    with pytest.raises(Unavailable, match="Connection refused"):
        backend.chat(ChatRequest(messages=[]), ctx)
    health = backend.health()
    assert not health.ok
    assert "Connection refused" in health.detail


def test_a_server_that_never_answers_is_a_timeout(spark, backend_for):
    backend = backend_for(spark.url, model="m")
    spark.on_head = lambda request, connection: spark.stopping.wait(10)
    with pytest.raises(UpstreamTimeout):
        backend.chat(ChatRequest(messages=[]), CallContext(deadline=time.monotonic() + 0.3))


def test_what_the_server_said_is_logged_cut_and_without_the_token_and_not_passed_on(fail):
    with capture_logs() as logs:
        failure = fail(reply(500, b"Bearer sesame-token is odd " + b"x" * 100_000))
    assert "odd" not in failure.message
    (line,) = logs
    assert line["said"].startswith("Bearer *** is odd")
    assert len(line["said"]) <= 100
    assert "sesame" not in str(logs)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_of_a_refusal_only_the_status_and_single_words_are_logged_because_it_may_repeat_the_prompt(fail, status):
    error = {"message": "you wrote: my diagnosis", "type": "BadRequestError", "code": "my diagnosis"}
    with capture_logs() as logs:
        fail(json_reply({"error": error}, status=status))
    (line,) = logs
    assert (line["status"], line["type"]) == (status, "BadRequestError")
    assert "diagnosis" not in str(logs)


def test_a_broken_transcript_is_not_logged_because_somebody_said_it(fail):
    with capture_logs() as logs:
        fail(reply(200, b'{"text": "my secret diagnosis'))
    assert logs
    assert "diagnosis" not in str(logs)


def test_a_page_instead_of_an_answer_is_logged_for_the_operator(fail):
    with capture_logs() as logs:
        fail(reply(200, b"<html>Router login</html>", content_type="text/html"))
    assert "Router login" in logs[0]["start"]


@pytest.mark.parametrize("status", [409, 429, 503])
def test_a_busy_server_is_asked_again(spark, ask, status):
    spark.says[CHAT] = [reply(status, retry_after="0"), reply(status, retry_after="0"), json_reply(COMPLETION)]
    assert ask()[0].text == "hi"


def test_a_server_that_stays_busy_is_unavailable_after_a_few_tries(fail, spark):
    failure = fail(reply(503, retry_after="0"))
    assert type(failure) is Unavailable
    assert failure.retry_after == 1
    assert [path for path in spark.paths() if path != MODEL_LIST] == [spark.paths()[-1]] * MAX_TRIES


def test_a_wait_longer_than_the_deadline_is_not_begun(spark, backend):
    spark.says[CHAT] = reply(429, retry_after="15")
    started = CallContext(deadline=time.monotonic() + 10)
    with pytest.raises(Unavailable) as failure:
        backend.chat(ChatRequest(messages=[]), started)
    assert failure.value.retry_after == 15
    assert started.remaining() > 0
    assert spark.paths() == [MODEL_LIST, CHAT]


def test_a_caller_who_hangs_up_ends_the_wait(spark, backend_for, ctx):
    def hang_up_and_say_busy(request):
        ctx.cancelled.set()
        return reply(503, retry_after="20")

    backend = backend_for(spark.url, model="m")
    spark.answer = lambda request: hang_up_and_say_busy(request) if request.path == CHAT else reply(404)
    with pytest.raises(Unavailable, match="cancelled"):
        backend.chat(ChatRequest(messages=[]), ctx)
    assert spark.paths().count(CHAT) == 1


def test_a_caller_who_goes_is_noticed_while_decoding(backend, recording, spark):
    class GoneAfterOneSecondOfAudio(CallContext):
        asked = 0

        def remaining(self):
            self.asked += 1
            if self.asked > 1:
                self.cancelled.set()
            return super().remaining()

    with pytest.raises(Unavailable, match="cancelled"):
        backend.transcribe(
            TranscribeRequest(Audio(recording, "r.wav")), GoneAfterOneSecondOfAudio(deadline=time.monotonic() + 30)
        )
    assert TRANSCRIBE not in spark.paths()


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("-1", 0),
        ("9999", MAX_WAIT),
        ("inf", MAX_WAIT),
        ("nan", MAX_WAIT),
        ("soon", 7),
        ("", 7),
        (None, 7),
    ],
)
def test_retry_after_is_read_within_bounds(said, wait):
    headers = {} if said is None else {"retry-after": said}
    assert retry_after(HTTPReply(503, headers, b""), 7) == wait


def test_no_model_listed_is_the_operators_to_mend(spark, ask):
    spark.says[MODEL_LIST] = json_reply({"object": "list", "data": []})
    with pytest.raises(Unavailable, match=r"plugins\.spark\.model"):
        ask()


def test_health_never_raises(spark, backend):
    for said in (HANG_UP, reply(500), reply(401), Raw(b"garbage\r\n\r\n", close=True)):
        spark.says[MODEL_LIST] = said
        assert not backend.health().ok
