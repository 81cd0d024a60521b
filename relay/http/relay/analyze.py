"""`POST /relay/analyze`: a question, perhaps about a transcript, becomes an answer."""

from __future__ import annotations

from contextlib import ExitStack

import falcon

from relay.http.body import read_json
from relay.http.callers import job_name
from relay.http.idempotency import json_meaning
from relay.http.relay.metered import Ask, Metered
from relay.http.streams import RelayFrames
from relay.services import tasks
from relay.services.requests import AnalyzeBody, chat_inputs, chat_request


class Analyze(Metered):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with ExitStack() as held:
            held.enter_context(self._callers.one_call(req, identity))
            req.context.job_name = job_name(req)
            body = read_json(req, AnalyzeBody)
            request = chat_request(body)
            ask = Ask(
                "analyze",
                lambda backend, ctx: tasks.analyze(backend, request, ctx),
                lambda: json_meaning(req),
                backend=body.backend,
                model=body.model,
                inputs=chat_inputs(request),
            )
            if body.stream:
                self._stream(req, resp, identity, ask, request, RelayFrames(), held)
            else:
                self._run(req, resp, identity, ask)
