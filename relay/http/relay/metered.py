"""`POST /relay/transcribe` and `POST /relay/analyze`: one credit for an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import falcon
import msgspec
from msgspec import Meta, Struct

from relay import audio
from relay.errors import Invalid
from relay.http.answers import answer
from relay.http.body import read_json
from relay.http.callers import Callers, job_name
from relay.http.context import elapsed_ms
from relay.http.uploads import read_upload, scratch
from relay.ports.auth import Identity
from relay.ports.inference import Audio, CallContext, ChatRequest, Task, TranscribeRequest
from relay.services import tasks
from relay.services.core import Core
from relay.services.infer import Perform
from relay.services.schemas import check_schema

TRANSCRIPT = "<transcript>\n{transcript}\n</transcript>"


class Metered:
    """What both calls share: run the task, answer in the contract's shape."""

    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers

    def _run(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        identity: Identity,
        task: Task,
        perform: Perform,
        *,
        backend: str | None,
        model: str | None,
    ) -> None:
        candidates = self._core.infer.candidates(task, backend, model)
        deadline = time.monotonic() + self._core.settings.relay.call_seconds
        ctx = CallContext(deadline, gone=req.env.get("waitress.client_disconnected", _never))
        done = self._core.infer.run(identity, req.context.job_name, task, candidates, perform, ctx)
        answer(
            resp,
            {
                "ok": True,
                "result": done.result,
                "meta": {
                    "request_id": req.context.request_id,
                    "job_id": done.call.job_name,
                    "server_job_id": done.call.job_id,
                    "backend": done.backend,
                    "model": done.model,
                    "elapsed_ms": elapsed_ms(req),
                },
                "credits": done.receipt.credits,
            },
        )


class Transcribe(Metered):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with self._callers.one_call(req, identity), scratch(self._core.spool_dir / req.context.request_id) as folder:
            req.context.job_name = job_name(req)
            upload = read_upload(req, folder)
            probe: Callable[[Path], float | None] = req.env.get("relay.probe", audio.probe)
            recording = Audio(upload.path, upload.filename, probe(upload.path))
            fields = upload.fields
            request = TranscribeRequest(
                recording, _text(fields, "language"), _text(fields, "prompt"), _text(fields, "model")
            )
            self._run(
                req,
                resp,
                identity,
                "transcribe",
                lambda backend, ctx: tasks.transcribe(backend, request, ctx),
                backend=_text(fields, "backend"),
                model=request.model,
            )


Text = Annotated[str, Meta(pattern=r"\S")]


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]]


class AnalyzeBody(Struct):
    """The JSON body of analyze."""

    prompt: Text | None = None
    messages: Annotated[list[Message], Meta(min_length=1, max_length=10_000)] | None = None
    transcript: str | None = None
    system: str | None = None
    schema: dict[str, Any] | None = None
    model: Text | None = None
    backend: Text | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    stream: bool = False


class Analyze(Metered):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with self._callers.one_call(req, identity):
            req.context.job_name = job_name(req)
            body = read_json(req, AnalyzeBody)
            request = chat_request(body)
            self._run(
                req,
                resp,
                identity,
                "analyze",
                lambda backend, ctx: tasks.analyze(backend, request, ctx),
                backend=body.backend,
                model=body.model,
            )


def chat_request(body: AnalyzeBody) -> ChatRequest:
    """The caller's question as messages: system, then the conversation, then the transcript."""
    if (body.prompt is None) == (body.messages is None):
        raise Invalid("give prompt or messages, one of them", "prompt")
    if body.stream:
        raise Invalid("streaming is not offered here; leave stream out", "stream")
    if body.schema is not None:
        check_schema(body.schema)
    messages: list[dict[str, Any]] = []
    if body.system:
        messages.append({"role": "system", "content": body.system})
    if body.messages is not None:
        messages += [msgspec.to_builtins(message) for message in body.messages]
    else:
        messages.append({"role": "user", "content": body.prompt})
    if body.transcript:
        messages.append({"role": "user", "content": TRANSCRIPT.format(transcript=body.transcript)})
    return ChatRequest(messages, body.transcript, body.schema, body.model, body.max_output_tokens, body.temperature)


def _text(fields: dict[str, str], name: str) -> str | None:
    return fields.get(name) or None


def _never() -> bool:
    return False
