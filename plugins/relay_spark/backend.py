"""The backend itself: one call to the server per task."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from relay.api import (
    CallContext,
    ChatRequest,
    Delta,
    Health,
    HTTPClient,
    HTTPReply,
    PluginError,
    Task,
    TranscribeRequest,
    Transcript,
    Unavailable,
    Unsupported,
    decode,
    write_wav,
)
from relay_spark.chat import completion_request, read_completion, read_models
from relay_spark.failures import failure, patiently
from relay_spark.settings import Settings
from relay_spark.transcripts import read_transcript

OK = 200
NOT_THERE = frozenset({404, 405})
HEALTH_SECONDS = 5.0
MAX_AUDIO_SECONDS = 8 * 3600.0  # 0.9 GB of samples on disk, and as much again for the WAV


class SparkBackend:
    """`where`: the path of the settings table, for messages. Raises ValueError for a url or token that cannot work."""

    name = "spark"
    cost_class = "spark"

    def __init__(self, settings: Settings, where: str = "plugins.spark") -> None:
        self.max_concurrent = settings.max_concurrent
        self.queue_size = settings.queue_size
        self._settings = settings
        self._where = where
        self._listed: tuple[str, ...] = ()
        self._client = HTTPClient(
            settings.url,
            headers={"authorization": f"Bearer {settings.token}"} if settings.token else {},
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            pool_size=settings.max_concurrent + 1,
        )

    @property
    def tasks(self) -> frozenset[Task]:
        return frozenset({"transcribe", "analyze"})

    def models(self, task: Task) -> Sequence[str]:
        """Of the chat endpoint; the speech model is the box's own choice."""
        if task != "analyze":
            return ()
        return (self._settings.model,) if self._settings.model else self._listed

    def chat(self, request: ChatRequest, ctx: CallContext) -> Iterator[Delta]:
        """One Delta with the whole answer."""
        try:
            model = self._model(request.model, ctx)
            body = completion_request(request, model)
            path = self._settings.chat_path
            reply = patiently(lambda left: self._client.post_json(path, body, timeout=left), ctx)
            self._expect(reply, "chat_path", path)
            return iter([read_completion(reply, model, self._key("chat_path"), structured=request.schema is not None)])
        except PluginError:
            self._listed = ()  # the server may have been given another model: ask again
            raise

    def transcribe(self, request: TranscribeRequest, ctx: CallContext) -> Transcript:
        """Sends 16 kHz mono WAV, made in the folder of the recording and removed again."""
        folder = request.audio.path.parent
        raw, wav = folder / "spark.s16", folder / "spark.wav"
        try:
            audio = decode(request.audio.path, raw, max_seconds=MAX_AUDIO_SECONDS, check=lambda _: _alive(ctx))
            write_wav(audio, wav)
            raw.unlink()
            fields = [("timestamps", "word,segment"), ("response_format", "verbose_json")]
            if request.language:
                fields.insert(0, ("language", request.language))
            path = self._settings.transcribe_path
            file = ("file", "audio.wav", wav, "audio/wav")
            reply = patiently(lambda left: self._client.post_multipart(path, fields, file, timeout=left), ctx)
        finally:
            raw.unlink(missing_ok=True)
            wav.unlink(missing_ok=True)
        self._expect(reply, "transcribe_path", path)
        return read_transcript(reply, audio.seconds, request.language, self._key("transcribe_path"))

    def health(self) -> Health:
        """Asks for the list of models; a server without one is asked for /health."""
        deadline = time.monotonic() + HEALTH_SECONDS
        try:
            reply = self._client.request("GET", self._settings.models_path, timeout=HEALTH_SECONDS)
            if reply.status in NOT_THERE:
                reply = self._client.request("GET", "/health", timeout=deadline - time.monotonic())
            self._expect(reply, "models_path", self._settings.models_path)
        except PluginError as exc:
            return Health(ok=False, detail=f"{self._settings.url}: {exc.message}")
        return Health(ok=True)

    def close(self) -> None:
        self._client.close()

    def _model(self, asked: str | None, ctx: CallContext) -> str:
        """The caller's choice, else the first. Raises Unsupported for one the server does not have."""
        names = self.models("analyze") or self._list_models(ctx)
        if asked is not None and asked not in names:
            raise Unsupported(f"the Spark server has no model {asked!r}; it has {', '.join(names)}"[:300])
        return asked or names[0]

    def _list_models(self, ctx: CallContext) -> tuple[str, ...]:
        path = self._settings.models_path
        reply = patiently(lambda left: self._client.request("GET", path, timeout=left), ctx)
        self._expect(reply, "models_path", path)
        names = read_models(reply, self._key("models_path"))
        if not names:
            raise Unavailable(
                f"the Spark server lists no chat model; the operator must load one or set {self._key('model')}"
            )
        self._listed = names
        return names

    def _expect(self, reply: HTTPReply, setting: str, path: str) -> None:
        if reply.status != OK:
            raise failure(reply, self._key(setting), path, self._settings.token)

    def _key(self, setting: str) -> str:
        return f"{self._where}.{setting}"


def _alive(ctx: CallContext) -> None:
    ctx.remaining()
