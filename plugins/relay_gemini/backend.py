"""The backend itself. Google's SDK loads with the first call, so an unused plugin costs nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from relay.api import (
    CallContext,
    ChatRequest,
    Delta,
    Diarization,
    DiarizeRequest,
    Health,
    NoSuchModel,
    PluginError,
    Task,
    TranscribeRequest,
    Transcript,
    Unavailable,
)
from relay_gemini.answers import read_chat
from relay_gemini.chat import chat_config, chat_contents
from relay_gemini.files import sweep
from relay_gemini.settings import Settings
from relay_gemini.speech import Ears, is_speech_model

if TYPE_CHECKING:
    from relay_gemini.client import Client

HEALTH_SECONDS = 5.0


class GeminiBackend:
    """`where`: the path of the settings table, for messages."""

    name = "gemini"
    cost_class = "gemini"

    def __init__(self, settings: Settings, where: str = "plugins.gemini") -> None:
        self.max_concurrent = settings.max_concurrent
        self.queue_size = settings.queue_size
        self._settings = settings
        self._where = where
        self._lock = threading.Lock()
        self._made: Client | None = None
        self._swept = False
        self._closed = False

    @property
    def tasks(self) -> frozenset[Task]:
        """Only the speech models say who speaks."""
        always: frozenset[Task] = frozenset({"transcribe", "analyze"})
        return always | {"diarize"} if is_speech_model(self._settings.transcribe_model) else always

    def models(self, task: Task) -> Sequence[str]:
        """What the settings name; other models may cost the operator more."""
        settings = self._settings
        speech = (settings.transcribe_model,) if settings.transcribe_model else ()
        if task == "diarize":
            return speech
        chat = (settings.model, *settings.other_models)
        return chat if task == "analyze" else tuple(dict.fromkeys((*speech, *chat)))

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        """Short recordings travel in the request, long ones in pieces, large ones by the Files API."""
        ctx.remaining()
        model = self._model("transcribe", request.model)
        return Ears(self._swept_client(ctx), self._settings, model, ctx).transcribe(request)

    def diarize(self, request: DiarizeRequest, ctx: CallContext) -> Diarization:
        """Gemini finds up to eight speakers by itself; there is no way to tell it how many there are."""
        ctx.remaining()
        return Ears(self._swept_client(ctx), self._settings, self._settings.transcribe_model, ctx).diarize(
            request.audio
        )

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        """Always as a stream: the only kind of call that can be ended early."""
        ctx.remaining()
        model = self._model("analyze", request.model)
        contents, system = chat_contents(request.messages)
        config = chat_config(request, system, self._settings.thinking)
        chunks = self._client().stream(model, contents, config, ctx)
        return read_chat(chunks, model, structured=request.schema is not None)

    def health(self) -> Health:
        """Asks for the models in the settings: cheap, and tells about the key as well."""
        ctx = CallContext(deadline=time.monotonic() + HEALTH_SECONDS)
        settings = self._settings
        try:
            for model in dict.fromkeys((settings.model, settings.transcribe_model or settings.model)):
                self._client().check_model(model, ctx)
        except PluginError as exc:
            return Health(ok=False, detail=exc.message)
        return Health(ok=True)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            client, self._made = self._made, None
        if client is not None:
            client.close()

    def _model(self, task: Task, asked: str | None) -> str:
        names = self.models(task)
        if asked is not None and asked not in names:
            raise NoSuchModel(f"{self._where} has no model {asked!r}; it has {', '.join(names)}"[:300])
        return asked or names[0]

    def _client(self) -> Client:
        """One for the process, and kept: the SDK closes a client that nobody holds."""
        with self._lock:
            if self._closed:
                raise Unavailable("the relay is stopping")
            if self._made is None:
                from relay_gemini.client import Client

                self._made = Client(self._settings, self._where)
            return self._made

    def _swept_client(self, ctx: CallContext) -> Client:
        """The first recording of the process also looks for files that a killed one has left."""
        client = self._client()
        with self._lock:
            first, self._swept = not self._swept, True
        if first:
            sweep(client, ctx)
        return client
