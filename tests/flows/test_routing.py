"""Which backend answers, when the next one is asked, and what gemini's own limit does."""

import threading

import pytest

from relay.errors import BlockedByUpstream, OutcomeUnknown, Unavailable, Unsupported, UpstreamFailed, UpstreamTimeout
from tests.flows.live import OPERATOR, FakeBackend, Live, assert_error, at_once, install, user


def trio() -> tuple[FakeBackend, FakeBackend, FakeBackend]:
    return FakeBackend("one"), FakeBackend("two"), FakeBackend("three")


@pytest.mark.parametrize("failure", [Unavailable("away"), UpstreamFailed("broke"), Unsupported("cannot")])
def test_after_a_certain_failure_the_next_backend_is_asked(start, failure: Exception) -> None:
    one, two, three = trio()
    one.fail = failure
    with start(one, two, three) as live:
        for reply in (live.analyze(), live.transcribe()):
            assert reply.status == 200
            assert reply.json["meta"]["backend"] == "two"
        assert (one.calls, two.calls, three.calls) == (2, 2, 0)
        assert live.credits()["total"] == 8
        live.assert_balanced()


@pytest.mark.parametrize(
    "failure",
    [OutcomeUnknown("who knows"), UpstreamTimeout("slow"), BlockedByUpstream("refused"), KeyError("a defect")],
)
def test_when_it_may_have_happened_nobody_else_is_asked(start, failure: Exception) -> None:
    one, two, three = trio()
    one.fail = failure
    with start(one, two, three) as live:
        assert live.analyze().status in {422, 502, 504}
        assert (one.calls, two.calls, three.calls) == (1, 0, 0)
        assert live.credits()["total"] == 10
        live.assert_balanced()


def test_the_first_real_failure_is_told(start) -> None:
    one, two, three = trio()
    one.fail, two.fail, three.fail = Unsupported("cannot"), Unavailable("away"), UpstreamFailed("broke")
    with start(one, two, three) as live:
        assert_error(live.analyze(), 503, "upstream_unavailable", "upstream")
        assert (one.calls, two.calls, three.calls) == (1, 1, 1)


def test_a_caller_may_choose_the_backend_and_the_model(start) -> None:
    one, two = FakeBackend("one", models=("small",)), FakeBackend("two", models=("large",), tasks=("analyze",))
    with start(one, two) as live:
        assert live.analyze(backend="two").json["meta"]["backend"] == "two"
        assert live.analyze(model="large").json["meta"]["backend"] == "two"
        assert live.analyze(model="small").json["meta"]["backend"] == "one"
        for wrong in ({"backend": "nobody"}, {"model": "none"}, {"backend": "one", "model": "large"}):
            assert_error(live.analyze(**wrong), 404, "not_found")
        assert_error(live.transcribe(backend="two"), 404, "not_found")
        assert_error(live.transcribe(model="large"), 404, "not_found")
        assert_error(live.transcribe(backend="nobody"), 404, "not_found")
        one.fail = Unavailable("away")
        assert live.analyze(backend="one").status == 503, "the one that was asked for, or none"
        assert live.credits()["total"] == 7


def test_without_any_backend_for_a_task_it_is_503(start) -> None:
    with start(FakeBackend("ears", tasks=("transcribe",))) as live:
        assert_error(live.analyze(), 503, "no_backend", "relay")
        assert live.credits()["total"] == 10
        live.assert_balanced()


def test_a_full_queue_sends_the_call_to_the_next_backend(start) -> None:
    one, two = FakeBackend("one", max_concurrent=1, queue_size=0), FakeBackend("two")
    one.gate = threading.Event()
    with start(one, two) as live:
        thread = threading.Thread(target=live.analyze, args=("a",))
        thread.start()
        assert one.entered.acquire(timeout=10)
        assert live.analyze("b").json["meta"]["backend"] == "two"
        one.gate.set()
        thread.join(10)


GEMINI = "[tiers.core]\nlifetime_credits = 10\nlifetime_gemini = 2\n"


def gemini() -> FakeBackend:
    return FakeBackend("gemini", "gemini")


def test_gemini_is_counted_once_per_job(start) -> None:
    backend = gemini()
    with start(backend, settings=GEMINI) as live:
        first = live.analyze(job="j")
        assert (first.charged, first.json["credits"]["gemini_remaining"]) == (1, 1)
        again = [live.analyze(job="j"), live.transcribe(job="j")]
        assert [(reply.charged, reply.json["credits"]["gemini_remaining"]) for reply in again] == [(0, 1)] * 2
        assert live.analyze(job="k").json["credits"]["gemini_remaining"] == 0
        assert_error(live.analyze(job="l"), 402, "gemini_limit_reached")
        assert live.analyze(job="j").status == 200, "follow-ups of a counted job go on"
        assert live.credits()["total"] == 8
        live.assert_balanced()


def test_past_the_gemini_limit_a_job_pays_with_a_purchased_credit(start) -> None:
    with start(gemini(), settings=GEMINI) as live:
        who = user("ann")
        live.call("POST", "/relay/users/ann/credits", headers=OPERATOR, json={"amount": 1, "reason": "gift"})
        seen = [live.analyze(who).json["credits"] for _ in range(3)]
        assert [(view["remaining"], view["purchased"]) for view in seen] == [(9, 1), (8, 1), (8, 0)]
        reply = live.analyze(who)
        assert_error(reply, 402, "gemini_limit_reached")
        assert reply.error["details"]["checkout_path"] == "/relay/credits/checkout"
        assert live.credits(who)["total"] == 8
        live.assert_balanced()


def test_past_the_gemini_limit_the_next_backend_is_asked(start) -> None:
    first, second = gemini(), FakeBackend("own")
    with start(first, second, settings=GEMINI) as live:
        assert [live.analyze().json["meta"]["backend"] for _ in range(4)] == ["gemini", "gemini", "own", "own"]
        assert first.calls == 2
        assert live.credits()["total"] == 6
        live.assert_balanced()


def test_the_gemini_count_is_undone_when_another_backend_answers(start) -> None:
    first, second = gemini(), FakeBackend("own")
    first.fail = Unavailable("away")
    with start(first, second, settings=GEMINI) as live:
        reply = live.analyze(job="j")
        assert reply.json["meta"]["backend"] == "own"
        assert reply.json["credits"]["gemini_remaining"] == 2
        assert first.calls == 1
        live.assert_balanced()
        first.fail = None
        assert live.analyze(job="j").json["credits"]["gemini_remaining"] == 1, "a follow-up counts the paid job"
        assert live.credits()["total"] == 9
        live.assert_balanced()


def test_a_move_to_purchased_is_undone_when_another_backend_answers(start) -> None:
    first, second = gemini(), FakeBackend("own")
    with start(first, second, settings="[tiers.core]\nlifetime_credits = 10\nlifetime_gemini = 0\n") as live:
        who = user("ann")
        live.call("POST", "/relay/users/ann/credits", headers=OPERATOR, json={"amount": 1, "reason": "gift"})
        first.fail = UpstreamFailed("broke")
        view = live.analyze(who).json["credits"]
        assert (view["remaining"], view["purchased"], view["total"]) == (9, 1, 10)
        first.fail, second.fail = None, Unavailable("away")
        view = live.analyze(who).json["credits"]
        assert (view["remaining"], view["purchased"], view["total"]) == (9, 0, 9)
        live.assert_balanced()


def test_a_failed_gemini_call_counts_nothing(start) -> None:
    backend = gemini()
    backend.fail = UpstreamFailed("broke")
    with start(backend, settings=GEMINI) as live:
        assert [live.analyze().status for _ in range(4)] == [502] * 4
        seen = live.credits()
        assert (seen["gemini_remaining"], seen["total"]) == (2, 10)
        live.assert_balanced()


def test_gemini_calls_at_once_never_pass_the_limit(start) -> None:
    backend = gemini()
    with start(backend, settings=GEMINI) as live:
        replies = at_once(12, lambda _n: live.analyze())
        assert sorted(reply.status for reply in replies) == [200] * 2 + [402] * 10
        assert live.credits()["gemini_remaining"] == 0
        assert live.credits()["total"] == 8
        live.assert_balanced()


def test_a_caller_past_its_gemini_limit_leaves_the_probe_to_the_next_one(start) -> None:
    backend, own, now = gemini(), FakeBackend("own"), [1000.0]
    with start(backend, own, settings=GEMINI) as live:

        def answered(who: str) -> str:
            return live.analyze(who).json["meta"]["backend"]

        breaker = live.core.infer.breaker
        breaker._clock = lambda: now[0]
        assert [answered("poor") for _ in range(2)] == ["gemini"] * 2
        backend.fail = UpstreamFailed("away")
        assert [answered(f"caller-{n}") for n in range(5)] == ["own"] * 5
        backend.fail = None
        now[0] += 11
        assert breaker.state()["gemini"]["state"] == "half_open"
        assert answered("poor") == "own"
        assert answered("rich") == "gemini"
        assert breaker.state()["gemini"]["state"] == "closed"


def test_capabilities_tell_who_does_what(start) -> None:
    with start(FakeBackend("one", models=("small",)), FakeBackend("ears", tasks=("transcribe",))) as live:
        body = live.get("/relay/capabilities").json
        assert body["tasks"] == {"transcribe": ["one", "ears"], "analyze": ["one"], "diarize": []}
        assert body["backends"]["one"]["models"] == ["small"]
        assert body["models"] == ["small"]
        assert "wav" in body["formats"]
        assert body["rails"] == []


def test_no_credit_is_left_for_a_caller_of_another_account(live: Live) -> None:
    at_once(10, lambda _n: live.analyze("a"))
    assert live.credits("a")["total"] == 0
    assert live.analyze(install("b")).status == 200
