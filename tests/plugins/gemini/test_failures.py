"""Each way Gemini can fail, and which of the relay's errors it becomes."""

import json

import pytest
from structlog.testing import capture_logs

from relay.errors import NotAccepted, OutcomeUnknown, Unavailable, UpstreamFailed, UpstreamTimeout
from relay.ports.inference import CallContext, ChatRequest
from relay.testing.sandbox.gemini import KEY

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello " * 40}])


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (400, NotAccepted, "invalid"),
        (401, Unavailable, r"plugins\.gemini\.api_key"),
        (403, Unavailable, r"plugins\.gemini\.api_key"),
        (404, Unavailable, r"models in plugins\.gemini"),
        (408, UpstreamTimeout, "time"),
        (413, NotAccepted, "less at once"),
        (422, NotAccepted, "invalid"),
        (418, UpstreamFailed, "418"),
        (429, Unavailable, "rate limit"),
        (499, OutcomeUnknown, "cancelled"),
        (500, UpstreamFailed, "500"),
        (503, Unavailable, "overloaded"),
        (504, UpstreamTimeout, "less at once"),
    ],
)
def test_every_status_has_its_meaning_and_googles_text_stays_in_the_log(ask, fault, monkeypatch, status, error, says):
    monkeypatch.setattr("relay_gemini.failures.FIRST_WAIT", {429: 0.01, 500: 0.01, 503: 0.01})
    fault("status", status=status, message=f"what only the operator may read, with {KEY}")
    with capture_logs() as logs, pytest.raises(error, match=says) as caught:
        ask()
    assert type(caught.value) is error
    assert "operator may read" not in caught.value.message
    refused = status in {400, 413, 422}  # then it may repeat the prompt
    assert ("operator may read" in logs[-1].get("said", "")) is not refused
    assert logs[-1]["status"] == status
    assert KEY not in json.dumps(logs)


def test_a_wrong_key_names_the_setting_and_not_the_key(backend_for, ctx):
    wrong = backend_for(api_key="wrong-key-of-the-operator")
    with pytest.raises(Unavailable, match=r"correct plugins\.gemini\.api_key") as caught:
        list(wrong.chat(HELLO, ctx))
    assert "wrong-key" not in caught.value.message
    health = wrong.health()
    assert not health.ok
    assert "plugins.gemini.api_key" in health.detail


def test_a_model_that_was_retired_is_told_by_health(backend, gemini):
    gemini.configure({"models": ["gemini-3.8-flash"]})
    health = backend.health()
    assert not health.ok
    assert "models in plugins.gemini" in health.detail


def test_an_account_google_does_not_serve_is_the_operators_business(ask, fault):
    fault("precondition")
    with pytest.raises(Unavailable, match="billing"):
        ask()


def test_a_text_that_is_too_long_says_so(ask, fault):
    fault("too_long")
    with pytest.raises(UpstreamFailed, match="longer than the model can read"):
        ask()


def test_a_redirect_is_not_followed(ask, fault, box):
    fault("redirect")
    with pytest.raises(Unavailable, match=r"correct plugins\.gemini\.base_url"):
        ask()
    assert [record.route for record in box.requests("gemini")] == ["stream"]


@pytest.mark.parametrize("nonsense", ["html", "garbage", "malformed_sse"])
def test_what_is_no_answer_at_all_is_a_failure(ask, fault, nonsense):
    fault(nonsense)
    with pytest.raises(UpstreamFailed):
        ask()


def test_an_error_in_the_middle_ends_the_answer_and_is_not_tried_again(backend, ctx, fault, calls):
    fault("error_in_stream", chunks=2, status=503, times=1)
    answer = backend.chat(HELLO, ctx)
    assert next(answer).text
    with pytest.raises(Unavailable, match="overloaded"):
        list(answer)
    assert calls() == 1


@pytest.mark.parametrize("reset", [True, False])
def test_a_connection_lost_after_sending_leaves_the_outcome_unknown(ask, fault, calls, reset):
    fault("cut", chunks=0, reset=reset)
    with pytest.raises(OutcomeUnknown):
        ask()
    assert calls() == 1


def test_a_connection_lost_in_the_middle_leaves_the_outcome_unknown(backend, ctx, fault, calls):
    fault("cut", chunks=2)
    with pytest.raises(OutcomeUnknown, match="connection to Gemini was lost"):
        list(backend.chat(HELLO, ctx))
    assert calls() == 1


def test_nobody_at_the_address_means_nothing_happened(backend_for, ctx, box):
    nobody = backend_for(base_url="http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="could not be reached: Connection refused"):
        list(nobody.chat(HELLO, ctx))
    assert not nobody.health().ok


def test_an_internal_error_is_tried_once_more(ask, fault, calls):
    fault("status", status=500, times=1)
    assert ask()[-1].finish == "stop"
    fault("status", status=500)
    with pytest.raises(UpstreamFailed):
        ask()
    assert calls() == 4


def test_an_overloaded_gemini_is_asked_again_twice(ask, fault, calls, monkeypatch):
    monkeypatch.setattr("relay_gemini.failures.FIRST_WAIT", {503: 0.01})
    fault("status", status=503, times=2)
    assert ask()[-1].finish == "stop"
    assert calls() == 3


def test_the_wait_gemini_asks_for_is_kept(ask, fault, box):
    fault("quota", seconds=0.5, times=1)
    assert ask()[-1].finish == "stop"
    first, second = box.requests("gemini", "stream")
    assert second.started - first.ended >= 0.5


def test_a_wait_that_is_too_long_is_the_next_backends_turn(ask, fault, calls):
    fault("quota", seconds=47)
    with pytest.raises(Unavailable, match="rate limit") as caught:
        ask()
    assert caught.value.retry_after == 47
    assert calls() == 1


def test_a_wait_beyond_the_deadline_is_not_begun(backend, fault, calls, monkeypatch):
    import time

    fault("quota", seconds=15)
    with pytest.raises(Unavailable, match="rate limit"):
        list(backend.chat(HELLO, CallContext(deadline=time.monotonic() + 5)))
    assert calls() == 1


def test_a_daily_quota_is_not_waited_for(ask, fault, calls):
    fault("quota", seconds=0.1, per_day=True)
    with pytest.raises(Unavailable, match="daily quota"):
        ask()
    assert calls() == 1


def test_a_cancelled_call_does_not_wait_for_its_next_try(backend, ctx, fault, calls, box):
    import threading

    fault("quota", seconds=19)
    threading.Thread(target=lambda: (box.requests.wait(lambda record: record.complete), ctx.cancel())).start()
    with pytest.raises(Unavailable, match="cancelled"):
        list(backend.chat(HELLO, ctx))
    assert calls() == 1
