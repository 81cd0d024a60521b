"""`GET /relay/v1/models`: what a client may name as `model`, and which model a name stands for."""

from __future__ import annotations

import time
from typing import Any

import falcon

from relay.errors import NotFound
from relay.http.answers import answer
from relay.http.callers import Callers
from relay.http.openai.chat_body import DEFAULT_MODEL
from relay.http.relay.public import models_of
from relay.ports.inference import Task
from relay.services.core import Core

OPENAI_EARS = frozenset(
    {"whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-transcribe-diarize"}
)
"""Names that clients of OpenAI's transcription have built in. They stand for whatever transcribes here, unless a
backend has a model of that name."""


class Models:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers
        self._since = int(time.time())

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._callers.identify(req)
        answer(resp, {"object": "list", "data": self._list()})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, model: str) -> None:
        """A name may hold slashes (`org/model`)."""
        self._callers.identify(req)
        found = next((each for each in self._list() if each["id"] == model), None)
        if found is None:
            raise NotFound(f"no model {model!r} here; GET /relay/v1/models lists them"[:300])
        answer(resp, found)

    def _list(self) -> list[dict[str, Any]]:
        owners = {DEFAULT_MODEL: "relay"}
        for backend in self._core.registry.backends.values():
            for model in models_of(backend):
                owners.setdefault(model, backend.name)
        return [
            {"id": model, "object": "model", "created": self._since, "owned_by": owner}
            for model, owner in owners.items()
        ]


def transcriber(core: Core, model: str | None) -> str | None:
    """The model to ask the backends for; None: whichever they use."""
    if model == DEFAULT_MODEL or (model in OPENAI_EARS and not _offered(core, model, "transcribe")):
        return None
    return model


def _offered(core: Core, model: str, task: Task) -> bool:
    return any(model in b.models(task) for b in core.registry.backends.values() if task in b.tasks)
