"""One server: chat, models and transcriptions under its base URL."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from relay.api import (
    CallContext,
    ChatRequest,
    Delta,
    Endpoint,
    Health,
    HTTPClient,
    NoSuchModel,
    NotAccepted,
    PluginError,
    ServerName,
    Task,
    TranscribeRequest,
    Transcript,
    Unavailable,
    Unsupported,
    openai_chat,
    transcribe_in_chunks,
)
from relay_openai_compatible.listing import Listing
from relay_openai_compatible.settings import Settings

NOT_THERE = frozenset({404, 405})
HEALTH_SECONDS = 5.0


class OpenAICompatible:
    """`where`: the path of the settings table, for messages. Raises ValueError for an address, a key or a header
    that cannot work."""

    def __init__(self, name: str, settings: Settings, where: str) -> None:
        self.name = name
        self.cost_class = settings.cost_class
        self.max_concurrent = settings.max_concurrent
        self.queue_size = settings.queue_size
        self.tasks: frozenset[Task] = frozenset(settings.tasks)
        self._settings = settings
        self._where = where
        key = {"authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._client = HTTPClient(
            settings.root,
            headers={**key, **settings.headers},
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            pool_size=settings.max_concurrent + 1,
        )
        secrets = (settings.api_key or "", *settings.headers.values())
        server = ServerName(f"the server {name}", where, "api_key", secrets)
        self._chat = Endpoint(self._client, "/chat/completions", f"{where}.base_url", server)
        self._speech = Endpoint(self._client, "/audio/transcriptions", f"{where}.base_url", server)
        self._models = Endpoint(self._client, "/models", f"{where}.base_url", server)
        self._listing = Listing(self._models)

    def models(self, task: Task) -> Sequence[str]:
        """What the settings name, else what the server listed last."""
        if task not in self.tasks:
            return ()
        return self._named(task) or self._listing.latest()

    def _named(self, task: Task) -> tuple[str, ...]:
        settings = self._settings
        if task == "transcribe" and settings.transcribe_model:
            return (settings.transcribe_model,)
        first = (settings.model,) if settings.model else ()
        return tuple(dict.fromkeys((*first, *settings.models)))

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        """One Delta with the whole answer, or the pieces as they come when `request.stream`."""
        deltas = self._deltas(request, ctx)
        return deltas if request.stream else iter(list(deltas))

    def _deltas(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        with self._watched():
            model = self._model("analyze", request.model, ctx)
            yield from openai_chat(self._chat, request, model, ctx, limit_field=self._settings.limit_field)

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        """Sends 16 kHz mono WAV, in chunks where the recording is long."""
        with self._watched():
            model = self._model("transcribe", request.model, ctx)
            fields = [("model", model), ("response_format", self._settings.transcribe_format)]
            if self._settings.transcribe_format == "verbose_json":
                fields += [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")]
            if request.language:
                fields.append(("language", request.language))
            if request.prompt:
                fields.append(("prompt", request.prompt))
            return transcribe_in_chunks(
                self._speech, request, fields, self._settings.chunking, ctx, backend=self.name, model=model
            )

    def health(self) -> Health:
        """Asks for the list of models. A server without one is well when a model is set: it did answer."""
        ctx = CallContext(deadline=time.monotonic() + HEALTH_SECONDS)
        try:
            reply = self._client.request("GET", self._models.path, ctx=ctx)
            if reply.status in NOT_THERE and self._settings.model:
                return Health(ok=True, detail="it lists no models")
            listed = self._listing.ask(ctx)
        except PluginError as exc:
            return Health(ok=False, detail=f"{self._settings.base_url}: {exc.message}")
        missing = [name for task in self.tasks for name in self.models(task) if name not in listed]
        return Health(ok=True, detail=f"not listed there: {', '.join(missing)}"[:300] if missing else "")

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """After a failure that is the server's own, its models are asked for again: it may have been given others."""
        try:
            yield
        except (Unsupported, NotAccepted):
            raise
        except PluginError:
            self._listing.doubt()
            raise

    def _model(self, task: Task, asked: str | None, ctx: CallContext) -> str:
        """The caller's choice, else the first. Raises NoSuchModel for one that is not on offer."""
        names = self._named(task) or self._listing.for_call(ctx)
        if not names:
            raise Unavailable(f"the server {self.name} lists no model; the operator must set {self._where}.model")
        if asked is not None and asked not in names:
            raise NoSuchModel(f"the server {self.name} has no model {asked!r}; it has {', '.join(names)}"[:300])
        return asked or names[0]
