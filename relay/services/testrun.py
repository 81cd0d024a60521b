"""Trying a backend on a known sample: how long it takes, and how good the answer is. Nothing is charged."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relay.errors import Conflict, Invalid, NotFound, RelayError
from relay.ports.inference import (
    TASKS,
    Audio,
    CallContext,
    ChatRequest,
    DiarizeRequest,
    InferenceBackend,
    Task,
    TranscribeRequest,
    Turn,
)
from relay.services import tasks
from relay.services.samples import MEETING_PROMPT, Sample, sample_for
from relay.services.scores import facts_right, speakers_right, words_right
from relay.services.slots import Slots

ACCOUNT = "relay:test-run"
"""Test runs wait in the backends' lines like everybody else, under this name."""
KINDS: Mapping[Task, str] = {"transcribe": "words right", "diarize": "speakers right", "analyze": "facts mentioned"}


class TestRuns:
    """One at a time: they use the same hardware as paying callers."""

    __test__ = False  # the name begins like that of a class of tests

    def __init__(
        self, backends: Mapping[str, InferenceBackend], slots: Mapping[str, Slots], spool: Path, seconds: float
    ) -> None:
        self._backends = backends
        self._slots = slots
        self._spool = spool
        self._seconds = seconds
        self._running = threading.Lock()

    def one(self, name: str, task: str, prompt: str | None = None) -> dict[str, Any]:
        """The result of one backend. Raises NotFound for an unknown one, Invalid for what it does not do."""
        backend = self._backends.get(name)
        if backend is None:
            raise NotFound(f"there is no backend {name[:100]!r} here; there are: {', '.join(self._backends) or 'none'}")
        for known in TASKS:
            if known == task and known in backend.tasks:
                with self._alone():
                    return self._try(backend, known, prompt)
        raise Invalid(f"{name} does {', '.join(sorted(backend.tasks)) or 'nothing now'}, not {task[:100]!r}", "task")

    @contextmanager
    def suite(
        self, backends: Sequence[str] | None = None, wanted: Sequence[str] | None = None
    ) -> Iterator[Iterator[dict[str, Any]]]:
        """Every backend on every task it does, in turn, as results come. Raises Conflict while another one runs."""
        for name in backends or ():
            if name not in self._backends:
                raise Invalid(f"there is no backend {name[:100]!r} here", "backends")
        for task in wanted or ():
            if task not in TASKS:
                raise Invalid(f"tasks are: {', '.join(TASKS)}", "tasks")
        plan = [
            (backend, task)
            for name, backend in self._backends.items()
            if backends is None or name in backends
            for task in TASKS
            if task in backend.tasks and (wanted is None or task in wanted)
        ]
        with self._alone():
            yield (self._try(backend, task, None) for backend, task in plan)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._running.acquire(blocking=False):
            raise Conflict("another test run is under way; wait for its end", code="in_progress", retry_after=10)
        try:
            yield
        finally:
            self._running.release()

    def _try(self, backend: InferenceBackend, task: Task, prompt: str | None) -> dict[str, Any]:
        sample = sample_for(task)
        ctx = CallContext(deadline=time.monotonic() + self._seconds)
        view: dict[str, Any] = {
            "backend": backend.name,
            "task": task,
            "sample": sample.name,
            "audio_seconds": sample.seconds,
            "score": None,
            "score_kind": KINDS[task],
            "speed": None,
            "output": None,
            "model": None,
            "error": None,
        }
        started = time.monotonic()
        try:
            with self._slots[backend.name].hold(ctx, ACCOUNT, 1.0, f"test-run:{backend.name}:{task}"):
                started = time.monotonic()
                output, view["model"] = self._ask(backend, task, sample, prompt, ctx)
        except RelayError as exc:
            view["error"] = {"code": exc.code, "message": exc.message}
        else:
            view["output"], view["score"] = output, round(_score(task, sample, output), 4)
        seconds = time.monotonic() - started
        view["ok"] = view["error"] is None
        view["elapsed_ms"] = int(seconds * 1000)
        if sample.seconds and view["ok"]:
            view["speed"] = round(sample.seconds / max(seconds, 0.001), 2)
        return view

    def _ask(
        self, backend: InferenceBackend, task: Task, sample: Sample, prompt: str | None, ctx: CallContext
    ) -> tasks.Result:
        if task == "analyze":
            text = [{"role": "user", "content": prompt or MEETING_PROMPT}, {"role": "user", "content": sample.words}]
            return tasks.analyze(backend, ChatRequest(text, sample.words), ctx)
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        assert sample.path is not None
        with tempfile.TemporaryDirectory(prefix="test-run-", dir=self._spool) as folder:
            path = Path(shutil.copy(sample.path, folder))
            audio = Audio(path, path.name, sample.seconds)
            if task == "transcribe":
                return tasks.transcribe(backend, TranscribeRequest(audio, "en", prompt), ctx)
            return tasks.diarize(backend, DiarizeRequest(audio), ctx)


def _score(task: Task, sample: Sample, output: dict[str, Any]) -> float:
    if task == "transcribe":
        return words_right(sample.words, output["text"])
    if task == "analyze":
        return facts_right(sample.facts, output["text"])
    found = [Turn(segment["start"], segment["end"], segment["speaker"]) for segment in output["segments"]]
    return speakers_right(sample.turns, found)
