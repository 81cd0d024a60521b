"""What every inference backend must pass. Inherit the class in a test and give the fixtures."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relay.errors import CallerError, PluginError, RelayError, Unavailable
from relay.ports.inference import (
    TASKS,
    Audio,
    CallContext,
    ChatRequest,
    Diarizer,
    DiarizeRequest,
    InferenceBackend,
    TranscribeRequest,
)

PATIENCE = 60.0
DIARIZE_PATIENCE = 110.0
QUESTION = ChatRequest(
    messages=[{"role": "user", "content": "Summarise: We met on Monday. We agreed to ship on Friday."}],
    transcript="We met on Monday. We agreed to ship on Friday.",
)


def context(seconds: float = PATIENCE) -> CallContext:
    return CallContext(deadline=time.monotonic() + seconds)


class InferenceConformance:
    @pytest.fixture
    def backend(self) -> InferenceBackend:
        raise NotImplementedError("give a fixture `backend`: the object under test, with its service at work")

    @pytest.fixture
    def recording(self) -> Path:
        raise NotImplementedError("give a fixture `recording`: speech, in a folder of the test's own")

    def test_it_says_what_it_is(self, backend: InferenceBackend) -> None:
        assert backend.name
        assert backend.cost_class
        assert backend.tasks <= set(TASKS)
        assert backend.max_concurrent >= 1
        assert backend.queue_size >= 0
        assert all(isinstance(model, str) for task in backend.tasks for model in backend.models(task))

    def test_it_is_healthy_while_its_service_works(self, backend: InferenceBackend) -> None:
        health = backend.health()
        assert health.ok, health.detail

    def test_a_transcript_has_text_and_times_inside_the_recording(
        self, backend: InferenceBackend, recording: Path
    ) -> None:
        if "transcribe" not in backend.tasks:
            pytest.skip("this backend does not transcribe")
        before = sorted(recording.parent.iterdir())
        transcript = backend.transcribe(TranscribeRequest(Audio(recording, recording.name)), context())
        assert transcript.text.strip()
        assert transcript.model
        assert transcript.duration > 0
        assert transcript.segments
        starts = [segment.start for segment in transcript.segments]
        assert starts == sorted(starts)
        times = [(segment.start, segment.end) for segment in transcript.segments]
        times += [(word.start, word.end) for segment in transcript.segments for word in segment.words]
        assert all(0 <= start <= end <= transcript.duration for start, end in times)
        assert sorted(recording.parent.iterdir()) == before, "scratch files are removed"

    def test_turns_name_speakers_by_first_appearance_inside_the_recording(
        self, backend: InferenceBackend, recording: Path
    ) -> None:
        if not isinstance(backend, Diarizer) or "diarize" not in backend.tasks:
            pytest.skip("this backend does not tell speakers apart")
        before = sorted(recording.parent.iterdir())
        found = backend.diarize(DiarizeRequest(Audio(recording, recording.name)), context(DIARIZE_PATIENCE))
        assert found.turns
        assert found.model
        starts = [turn.start for turn in found.turns]
        assert starts == sorted(starts)
        assert all(0 <= turn.start <= turn.end <= found.duration for turn in found.turns)
        seen = list(dict.fromkeys(turn.speaker for turn in found.turns))
        assert seen == [f"S{n}" for n in range(1, len(seen) + 1)]
        assert set(found.voices) <= set(seen)
        assert sorted(recording.parent.iterdir()) == before, "scratch files are removed"

    @pytest.mark.parametrize("task", ["transcribe", "diarize"])
    def test_a_file_that_is_no_recording_is_the_callers_mistake(
        self, backend: InferenceBackend, recording: Path, task: str
    ) -> None:
        if task not in backend.tasks:
            pytest.skip(f"this backend does not {task}")
        recording.write_bytes(b"this is not sound" * 100)
        with pytest.raises(CallerError):
            _hear(backend, Audio(recording, recording.name), task)

    def test_an_answer_ends_with_one_finish_and_its_model(self, backend: InferenceBackend) -> None:
        if "analyze" not in backend.tasks:
            pytest.skip("this backend does not chat")
        deltas = list(backend.chat(QUESTION, context()))
        assert "".join(delta.text for delta in deltas).strip()
        assert [delta.finish is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]
        assert deltas[-1].model
        for tokens in (deltas[-1].input_tokens, deltas[-1].output_tokens):
            assert tokens is None or tokens >= 0

    def test_a_call_whose_time_is_used_up_ends_with_our_error(self, backend: InferenceBackend, recording: Path) -> None:
        with pytest.raises(PluginError):
            _call(backend, recording, context(0))

    def test_a_cancelled_call_does_not_start(self, backend: InferenceBackend, recording: Path) -> None:
        ctx = context()
        ctx.cancelled.set()
        with pytest.raises(Unavailable):
            _call(backend, recording, ctx)

    def test_a_closed_backend_fails_with_our_error_and_closes_again(
        self, backend: InferenceBackend, recording: Path
    ) -> None:
        backend.close()
        backend.close()
        backend.health()
        try:
            _call(backend, recording, context())
        except RelayError:
            return


def _hear(backend: InferenceBackend, audio: Audio, task: str) -> None:
    if isinstance(backend, Diarizer) and task == "diarize":
        backend.diarize(DiarizeRequest(audio), context())
    else:
        backend.transcribe(TranscribeRequest(audio), context())


def _call(backend: InferenceBackend, recording: Path, ctx: CallContext) -> None:
    """Any one call it can do."""
    if "analyze" in backend.tasks:
        list(backend.chat(QUESTION, ctx))
    else:
        backend.transcribe(TranscribeRequest(Audio(recording, recording.name)), ctx)
