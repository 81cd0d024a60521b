"""An OpenAI-shaped server, as vLLM, llama.cpp or a hosted one: chat, models and transcriptions under `/v1`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from relay.testing.sandbox import chat
from relay.testing.sandbox.service import Call, Refusal, Reply, Route, Service, json_reply
from relay.testing.sandbox.transcripts import Shape, Spoken, listen, openai_shaped, upload_of

TYPES = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}


class State(msgspec.Struct, forbid_unknown_fields=True):
    """What can be set over `PUT /_sandbox/<name>`.

    `token`: the bearer token that is asked for. `models`: the first is the default. `answer`: what chat says; empty:
    made of the question. `transcript`: what is heard; empty text is silence, null makes it of the file.
    `transcript_shape`: how it is answered. `error_shape`: OpenAI's and vLLM's, older vLLM's, FastAPI's, or plain text.
    `piece_seconds`: the pause between the pieces of a streamed answer. `slots`: how many calls at once before 503 with
    a Retry-After of `busy_seconds`; 0: no limit.
    """

    token: str | None = None
    models: Annotated[tuple[str, ...], Meta(min_length=1)] = ("sandbox-chat",)
    max_model_len: int = 131_072
    answer: str = ""
    transcript: str | None = None
    transcript_shape: Shape = "verbose"
    max_seconds: float = 14_400
    error_shape: Literal["openai", "vllm", "fastapi", "text"] = "openai"
    piece_seconds: Annotated[float, Meta(ge=0, le=60)] = 0
    slots: Annotated[int, Meta(ge=0)] = 0
    busy_seconds: Annotated[float, Meta(ge=0)] = 1


class OpenAI(Service):
    name: ClassVar[str] = "openai"
    title: ClassVar[str] = "an OpenAI-shaped server: chat, models, transcriptions"
    settings: ClassVar[str] = '[plugins.openai_compatible.sandbox]\nbase_url = "{url}/v1"'
    faults: ClassVar[Mapping[str, str]] = chat.FAULTS
    state_type: ClassVar[type[State]] = State

    def __init__(self) -> None:
        self.now = self.state_type()
        self.running = 0
        self._lock = threading.Lock()

    def routes(self) -> Sequence[Route]:
        return [
            Route("models", "GET", "/v1/models", self.models),
            Route("chat", "POST", "/v1/chat/completions", self.chat),
            Route("transcriptions", "POST", "/v1/audio/transcriptions", self.transcriptions),
            Route("health", "GET", "/health", lambda _call: Reply()),
        ]

    def models(self, call: Call) -> Reply:
        self.check_token(call)
        length = self.now.max_model_len
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "sandbox", "max_model_len": length}
            for name in self.now.models
        ]
        return json_reply({"object": "list", "data": data})

    def chat(self, call: Call) -> Reply:
        self.begin(call)
        now = self.now
        return chat.complete(call, now.models, now.max_model_len, now.answer, now.piece_seconds)

    def transcriptions(self, call: Call) -> Reply:
        self.begin(call)
        return openai_shaped(call, self.heard(call), self.now.transcript_shape)

    def heard(self, call: Call) -> Spoken:
        upload = upload_of(call, self.now.max_seconds)
        return listen(upload, self.now.transcript, call.form().text("language"))

    def begin(self, call: Call) -> None:
        """Check the token and take a place until the answer has been sent. Raises Refusal(401, 503)."""
        self.check_token(call)
        call.until_end(self._place())

    def check_token(self, call: Call) -> None:
        if self.now.token is not None and call.bearer() != self.now.token:
            raise Refusal(401, "Unauthorized: the bearer token is missing or wrong")

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        with self._lock:
            if 0 < self.now.slots <= self.running:
                raise Refusal(503, "busy: every place is taken", {"retry-after": f"{self.now.busy_seconds:g}"})
            self.running += 1
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1

    def error(self, status: int, message: str) -> Reply:
        kind = TYPES.get(status, "InternalServerError" if status >= 500 else "BadRequestError")
        shapes: dict[str, Any] = {
            "openai": {"error": {"message": message, "type": kind, "param": None, "code": status}},
            "vllm": {"object": "error", "message": message, "type": kind, "param": None, "code": status},
            "fastapi": {"detail": message},
        }
        if self.now.error_shape == "text":
            return Reply(status, message.encode(), {"content-type": "text/plain"})
        return json_reply(shapes[self.now.error_shape], status)

    def state(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self.now)

    def configure(self, changes: Mapping[str, Any]) -> None:
        try:
            self.now = msgspec.convert({**msgspec.to_builtins(self.now), **changes}, self.state_type)
        except msgspec.ValidationError as exc:
            raise ValueError(str(exc)) from None

    def reset(self) -> None:
        self.now = self.state_type()
