"""`POST /relay/diarize`: who speaks when."""

import pytest

from tests.flows.fake_backend import FakeBackend
from tests.flows.live import assert_error, install, multipart, wav


def ask(live, who="i", recording=None, **fields):
    body, content_type = multipart(wav() if recording is None else recording, **fields)
    return live.call("POST", "/relay/diarize", body, install(who) | {"Content-Type": content_type})


def test_turns_and_the_seconds_of_each_speaker(start) -> None:
    backend = FakeBackend(tasks=("diarize",))
    with start(backend) as live:
        reply = ask(live, num_speakers="2")
        assert reply.json["result"] == {
            "segments": [
                {"start": 0.0, "end": 1.0, "speaker": "S1"},
                {"start": 0.5, "end": 2.0, "speaker": "S2"},
                {"start": 2.0, "end": 2.25, "speaker": "S1"},
            ],
            "speakers": [{"id": "S1", "seconds": 1.25}, {"id": "S2", "seconds": 1.5}],
        }
        assert reply.charged == 1
        assert backend.asked[0].num_speakers == 2
        live.assert_balanced()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"num_speakers": "0"}, "num_speakers"),
        ({"max_speakers": "33"}, "max_speakers"),
        ({"num_speakers": "two"}, "num_speakers"),
        ({"num_speakers": "3", "max_speakers": "2"}, "num_speakers"),
    ],
)
def test_impossible_numbers_of_speakers_are_refused(start, fields, path) -> None:
    with start(FakeBackend(tasks=("diarize",))) as live:
        reply = ask(live, **fields)
        assert_error(reply, 422, "invalid")
        assert reply.error["details"]["path"] == path


def test_nobody_heard_costs_nothing(start) -> None:
    backend = FakeBackend(tasks=("diarize",), text="")
    with start(backend) as live:
        assert_error(ask(live), 502, "upstream_failed", "upstream")
        assert live.credits("i")["total"] == 10


def test_without_a_backend_for_it_the_caller_is_told(start) -> None:
    with start(FakeBackend()) as live:
        assert_error(ask(live), 503, "no_backend", "relay")
        live.assert_balanced()
