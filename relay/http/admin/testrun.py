"""`POST /admin/test-run` and `/admin/test-run-suite`: the backends, tried on known samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import falcon
from msgspec import Meta, Struct

from relay.http.answers import answer
from relay.http.body import read_json
from relay.http.held import HeldPieces
from relay.http.streams import SSE, event
from relay.services.core import Core

Name = Annotated[str, Meta(min_length=1, max_length=128)]


class RunBody(Struct):
    backend: Name
    task: Name
    prompt: Annotated[str, Meta(min_length=1, max_length=20_000)] | None = None


class SuiteBody(Struct):
    backends: Annotated[list[Name], Meta(max_length=100)] | None = None
    tasks: Annotated[list[Name], Meta(max_length=10)] | None = None


class TestRun:
    __test__ = False

    def __init__(self, core: Core) -> None:
        self._core = core

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`prompt`: another question for analyze, or another hint for transcribe."""
        body = read_json(req, RunBody)
        with self._core.infer.place():
            answer(resp, {"ok": True, "result": self._core.test_runs.one(body.backend, body.task, body.prompt)})

    def on_post_suite(self, req: falcon.Request, resp: falcon.Response) -> None:
        """With `Accept: text/event-stream` each result comes as soon as it is there."""
        body = read_json(req, SuiteBody)
        with ExitStack() as held:
            held.enter_context(self._core.infer.place())
            results = held.enter_context(self._core.test_runs.suite(body.backends, body.tasks))
            if "text/event-stream" in (req.get_header("Accept") or ""):
                for name, value in SSE.items():
                    resp.set_header(name, value)
                resp.stream = HeldPieces(_events(results), held.pop_all())
                return
            answer(resp, {"ok": True, "results": list(results)})


def _events(results: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    yield b": the first result comes when the first backend has answered\n\n"
    for result in results:
        yield event("result", result)
    yield event("done", {"ok": True})
