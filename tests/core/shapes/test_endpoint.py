"""What each status becomes, and waiting for a busy server, whole and streamed."""

import time

import pytest
from structlog.testing import capture_logs

from relay.errors import BlockedByUpstream, NotAccepted, PluginError, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.ports.inference import CallContext
from relay.shapes.patience import MAX_TRIES
from tests.loopback import Server, json_reply, reply

QUOTA = json_reply({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 429)


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + 30)


@pytest.fixture(params=["whole", "streamed"])
def ask(request, endpoint_for, ctx):
    """The answer's body, or the failure, of a server that says these in turn, the last for ever."""

    def ask(*said):
        said = list(said)
        with Server(lambda _request: said.pop(0) if len(said) > 1 else said[0]) as server:
            endpoint = endpoint_for(server.url)
            try:
                if request.param == "whole":
                    return endpoint.post_json({}, ctx).body, server
                with endpoint.stream_json({}, ctx) as stream:
                    return stream.read_all(), server
            except PluginError as exc:
                return exc, server

    return ask


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (reply(400), NotAccepted, "status 400"),
        (reply(413), NotAccepted, "send less"),
        (reply(422, b"out of memory, you said"), NotAccepted, "status 422"),
        (reply(408), UpstreamTimeout, "status 408"),
        (reply(504), UpstreamTimeout, "status 504"),
        (reply(401), Unavailable, "plugins.test.token"),
        (reply(402), Unavailable, "top up"),
        (QUOTA, Unavailable, "top up"),
        (reply(403), Unavailable, "plugins.test.token"),
        (reply(404), Unavailable, "plugins.test.path"),
        (reply(500), UpstreamFailed, "status 500"),
        (reply(302, location="http://elsewhere"), UpstreamFailed, "status 302"),
        (json_reply({"error": {"code": "content_filter"}}, 403), BlockedByUpstream, "refused"),
        (json_reply({"error": {"message": "out of memory"}}, 500), UpstreamFailed, "GPU memory"),
        (json_reply({"error": {"code": "context_length_exceeded"}}, 400), NotAccepted, "longer than this model"),
        (json_reply({"error": {"type": "exceed_context_size_error"}}, 400), NotAccepted, "longer than this model"),
    ],
)
def test_a_status_has_its_error(ask, said, error, words):
    failure, server = ask(said)
    assert isinstance(failure, error)
    assert words in failure.message
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [409, 429, 503])
def test_a_busy_server_is_asked_again(ask, status):
    body, server = ask(reply(status, retry_after="0"), reply(status, retry_after="0.05"), reply(200, b"ok"))
    assert body == b"ok"
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_given_up_after_a_few_tries(ask):
    failure, server = ask(reply(503, retry_after="0"))
    assert isinstance(failure, Unavailable)
    assert "busy" in failure.message
    assert len(server.requests) == MAX_TRIES


def test_a_wait_past_the_deadline_is_not_begun(ask, ctx):
    ctx.deadline = time.monotonic() + 5
    failure, server = ask(reply(503, retry_after="10"))
    assert failure.retry_after == 10
    assert ctx.remaining() > 0
    assert len(server.requests) == 1


def test_what_was_said_goes_to_the_log_without_secrets(ask):
    with capture_logs() as logs:
        failure, _ = ask(reply(500, b"sesame-token " + b"x" * 100_000))
    assert "xxx" not in failure.message
    assert logs[0]["said"].startswith("*** x")
    assert len(logs[0]["said"]) == 100
