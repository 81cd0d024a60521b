"""The backend itself: the right endpoint for each task, and what the relay makes of its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from relay.api import (
    CallContext,
    ChatRequest,
    Delta,
    Diarization,
    DiarizeRequest,
    Health,
    NoSuchModel,
    NotAccepted,
    PluginError,
    Task,
    TranscribeRequest,
    Transcript,
    Unavailable,
    Unsupported,
    openai_chat,
    openai_models,
    transcribe_in_chunks,
)
from relay_spark.diarization import diarize
from relay_spark.places import Places
from relay_spark.services import Service, Services
from relay_spark.settings import Settings


class SparkBackend:
    """`where`: the path of the settings table, for messages. Raises ValueError for a url or token that cannot work."""

    name = "spark"
    cost_class = "spark"

    def __init__(self, settings: Settings, where: str = "plugins.spark") -> None:
        self.max_concurrent = settings.max_concurrent
        self.queue_size = settings.queue_size
        self._settings = settings
        self._where = where
        self._places = Places(settings, where)
        self._services = Services(settings, self._places)

    @property
    def tasks(self) -> frozenset[Task]:
        return self._services.tasks()

    def models(self, task: Task) -> Sequence[str]:
        """Of the chat endpoint what it lists; of the others the one the box announces, if it does."""
        if task != "analyze":
            announced = self._services.model(task)
            return (announced,) if announced else ()
        return (self._settings.model,) if self._settings.model else self._services.models

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        """One Delta with the whole answer, or the pieces as they come when `request.stream`."""
        deltas = self._chat(request, ctx)
        return deltas if request.stream else iter(list(deltas))

    def _chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        with self._watched("analyze", ctx) as service:
            model = self._model(request.model, service, ctx)
            yield from openai_chat(service.endpoint, request, model, ctx)

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        """Sends 16 kHz mono WAV, made in the folder of the recording and removed again."""
        fields = [("timestamps", "word,segment"), ("response_format", "verbose_json")]
        if request.language:
            fields.insert(0, ("language", request.language))
        with self._watched("transcribe", ctx) as service:
            _check_model(request.model, service)
            return transcribe_in_chunks(
                service.endpoint,
                request,
                fields,
                self._settings.chunking(service.announced.max_seconds),
                ctx,
                backend=self.name,
                model=service.announced.model or self.name,
            )

    def diarize(self, request: DiarizeRequest, ctx: CallContext) -> Diarization:
        """Chunk by chunk; who is who across them is found out by their voices and where the chunks overlap."""
        with self._watched("diarize", ctx) as service:
            _check_model(request.model, service)
            return diarize(service, request, self._settings, ctx, backend=self.name)

    def health(self) -> Health:
        """Asks anew. Well when something is there and nothing of it fails; the detail names each service."""
        services = self._services.refresh()
        detail = "; ".join(
            f"{task} {service.state}" + (f" ({service.detail})" if service.detail else "")
            for task, service in services.items()
        )
        states = {service.state for service in services.values()}
        return Health(ok="ok" in states and "failing" not in states, detail=f"{self._settings.url}: {detail}")

    def close(self) -> None:
        self._places.close()

    @contextmanager
    def _watched(self, task: Task, ctx: CallContext) -> Iterator[Service]:
        """The service for a call, and how the call went is remembered."""
        try:
            yield self._services.find(task, ctx)
        except (Unsupported, NotAccepted):
            raise  # the services are well
        except PluginError:
            if not ctx.cancelled.is_set():
                self._services.failed()
            raise
        self._services.worked(task)

    def _model(self, asked: str | None, service: Service, ctx: CallContext) -> str:
        """The caller's choice, else the server's. Raises NoSuchModel for one the server does not have."""
        known = self._settings.model or not self._services.models_doubted
        names = (self.models("analyze") if known else ()) or self._list_models(service, ctx)
        if asked is not None and asked not in names:
            raise _no_such_model(asked, names)
        return asked or (service.announced.model if service.announced.model in names else names[0])

    def _list_models(self, service: Service, ctx: CallContext) -> Sequence[str]:
        names = openai_models(self._services.models_endpoint(service), ctx)
        if not names:
            raise Unavailable(
                f"the Spark server lists no chat model; the operator must load one or set {self._where}.model"
            )
        self._services.listed(names)
        return names


def _check_model(asked: str | None, service: Service) -> None:
    """Raises NoSuchModel for another than the announced one. Where none is, there is nothing to compare it with."""
    announced = service.announced.model
    if asked is not None and announced and asked != announced:
        raise _no_such_model(asked, (announced,))


def _no_such_model(asked: str, names: Sequence[str]) -> NoSuchModel:
    return NoSuchModel(f"the Spark server has no model {asked!r}; it has {', '.join(names)}"[:300])
