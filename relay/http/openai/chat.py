"""`POST /relay/v1/chat/completions`: analyze, for clients of OpenAI."""

from __future__ import annotations

import time
from contextlib import ExitStack

import falcon

from relay.http.body import read_json
from relay.http.callers import job_name
from relay.http.idempotency import json_meaning
from relay.http.openai.chat_body import DEFAULT_MODEL, ChatBody, chat_request
from relay.http.openai.completions import ChunkFrames, completion_head
from relay.http.relay.metered import Ask, Metered, Shape
from relay.services import tasks
from relay.services.requests import chat_inputs


class ChatCompletions(Metered):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with ExitStack() as held:
            held.enter_context(self._callers.one_call(req, identity))
            req.context.job_name = job_name(req)
            body = read_json(req, ChatBody)
            request = chat_request(body)
            ask = Ask(
                "analyze",
                lambda backend, ctx: tasks.analyze(backend, request, ctx),
                lambda: json_meaning(req),
                backend=body.backend,
                model=request.model,
                inputs=chat_inputs(request),
            )
            created = int(time.time())
            if request.stream:
                frames = ChunkFrames(
                    req.context.request_id, request.model or DEFAULT_MODEL, created, with_usage=body.wants_usage
                )
                self._stream(req, resp, identity, ask, request, frames, held)
            else:
                shape = Shape(lambda done, meta: completion_head(done.result, meta, created), b"}}")
                self._run(req, resp, identity, ask, shape)
