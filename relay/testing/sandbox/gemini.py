"""Google's Gemini API as far as the relay and Google's own SDK use it."""

from __future__ import annotations

import base64
import binascii
import hmac
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from relay.testing.sandbox.gemini_answers import Answer, Asked, answer
from relay.testing.sandbox.gemini_files import Files, seconds_of
from relay.testing.sandbox.gemini_wire import camel, error_body, event, quota_details
from relay.testing.sandbox.schema_values import unfitting
from relay.testing.sandbox.service import Call, Refusal, Reply, Route, Service, json_reply, stream_reply

KEY = "sandbox-gemini-key"
MODELS = ("gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-2.5-flash", "gemini-3.5-transcribe")
MAX_REQUEST_BYTES = 100_000_000
MAX_INPUT_TOKENS = 1_048_576


class Gemini(Service):
    name: ClassVar[str] = "gemini"
    title: ClassVar[str] = "Google's Gemini API"
    settings: ClassVar[str] = f'[plugins.gemini]\napi_key = "{KEY}"\nbase_url = "{{url}}"\n'
    faults: ClassVar[Mapping[str, str]] = {
        "quota": "429 with a QuotaFailure and RetryInfo; `seconds` (1, null for no RetryInfo), `per_day` (false)",
        "precondition": "400 FAILED_PRECONDITION: not served in this region, or billing is off",
        "too_long": "400: the input has more tokens than the model reads",
        "blocked_prompt": "200 without candidates: the prompt was blocked for `reason` (PROHIBITED_CONTENT)",
        "blocked_answer": "200 with a candidate that has no content and ends for `reason` (SAFETY)",
        "no_candidates": "200 with usage and nothing else",
        "no_text": "200 with a candidate that ends with STOP and says nothing",
        "thinking_only": "200 with MAX_TOKENS: everything went into thinking",
        "cut_short": "the first half of the answer, then MAX_TOKENS",
        "continuation": "the first half of the answer, then CONTINUATION with a token",
        "no_finish": "an answer that ends without a finishReason",
        "unfitting": "JSON of another type than the schema's",
        "untimed": "a transcription whose parts have text only",
        "failed_file": "the uploaded file becomes FAILED instead of ACTIVE",
        "no_upload_url": "the upload starts without X-Goog-Upload-URL",
        "redirect": "302 to another address",
    }

    def __init__(self) -> None:
        self.files = Files()
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.files.clear()
        self.api_key = KEY
        self.models = list(MODELS)
        self.processing_polls = 1

    def routes(self) -> Sequence[Route]:
        return [
            Route("generate", "POST", "/{version}/models/{model}:generateContent", self._generate),
            Route("stream", "POST", "/{version}/models/{model}:streamGenerateContent", self._stream),
            Route("count", "POST", "/{version}/models/{model}:countTokens", self._count),
            Route("models", "GET", "/{version}/models", self._list_models),
            Route("model", "GET", "/{version}/models/{model}", self._get_model),
            Route("upload", "POST", "/upload/{version}/files", self._upload),
            Route("files", "GET", "/{version}/files", self._list_files),
            Route("file", "GET", "/{version}/files/{id}", self._get_file),
            Route("delete_file", "DELETE", "/{version}/files/{id}", self._delete_file),
        ]

    def error(self, status: int, message: str) -> Reply:
        return json_reply(error_body(status, message), status)

    def state(self) -> dict[str, Any]:
        return {"models": self.models, "processing_polls": self.processing_polls, "files": self.files.list()}

    def configure(self, changes: Mapping[str, Any]) -> None:
        """`api_key`, `models`, `processing_polls`, and `age_files`: so many hours pass for the files that are there."""
        for name, value in changes.items():
            if name == "api_key" and isinstance(value, str) and value:
                self.api_key = value
            elif name == "models" and isinstance(value, list):
                self.models = [str(model) for model in value]
            elif name == "processing_polls" and type(value) is int and value >= 0:
                self.processing_polls = value
            elif name == "age_files" and isinstance(value, int | float):
                self.files.age(value)
            else:
                raise ValueError(f"gemini has no setting {name!r} that could be {value!r}")

    def close(self) -> None:
        self.files.clear()

    def _generate(self, call: Call) -> Reply:
        asked, said = self._answer(call)
        if isinstance(said, Reply):
            return said
        return json_reply(_chunk(asked, said, len(said.parts), 0))

    def _stream(self, call: Call) -> Reply:
        asked, said = self._answer(call)
        if isinstance(said, Reply):
            assert isinstance(said.body, bytes)
            return said if said.status != 200 else stream_reply([b"data: " + said.body + b"\r\n\r\n"])
        return stream_reply(_events(asked, said))

    def _answer(self, call: Call) -> tuple[Asked, Answer | Reply]:
        """What is said to a request, or the reply of a fault instead of it."""
        self._allow(call)
        model = self._model(call)
        if call.body.size > MAX_REQUEST_BYTES:
            raise Refusal(400, "the request is larger than 100 MB; use the Files API")
        asked = self._read(call, model)
        call.note(seconds=asked.seconds, text=asked.text[:10_000], system=asked.system, input_tokens=asked.input_tokens)
        if asked.input_tokens > MAX_INPUT_TOKENS or call.has_fault("too_long"):
            message = f"The input token count ({asked.input_tokens}) exceeds the maximum number of tokens allowed"
            raise Refusal(400, f"{message} ({MAX_INPUT_TOKENS}).")
        instead = _fault_reply(call, asked)
        if instead is not None:
            return asked, instead
        said = answer(asked)
        _spoil(call, asked, said)
        call.note(output_tokens=said.output_tokens + said.thoughts)
        return asked, said

    def _allow(self, call: Call) -> None:
        given = call.headers.get("x-goog-api-key", "")
        if not hmac.compare_digest(given.encode(), self.api_key.encode()):
            raise Refusal(400, "API key not valid. Please pass a valid API key.")

    def _model(self, call: Call) -> str:
        model = call.params["model"]
        if model not in self.models:
            version = call.params["version"]
            raise Refusal(404, f"models/{model} is not found for API version {version}, or is not supported")
        return model

    def _read(self, call: Call, model: str) -> Asked:
        body = camel(call.json())
        contents = body.get("contents") if isinstance(body, dict) else None
        if not contents or not all(content.get("parts") for content in contents):
            raise Refusal(400, "* GenerateContentRequest.contents: contents is not specified")
        seconds, texts = 0.0, []
        for part in (part for content in contents for part in content["parts"]):
            seconds += self._sound(part)
            texts.append(part.get("text") or "")
            call_made = part.get("functionCall")
            if call_made and model.startswith("gemini-3") and not part.get("thoughtSignature"):
                raise Refusal(400, "Function call is missing a thought_signature in functionCall parts.")
        system = "".join(part.get("text") or "" for part in (body.get("systemInstruction") or {}).get("parts", ()))
        tools = [found for tool in body.get("tools") or () for found in tool.get("functionDeclarations") or ()]
        wanted = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        allowed = wanted.get("allowedFunctionNames")
        return Asked(
            model,
            contents,
            body.get("generationConfig") or {},
            system,
            [tool for tool in tools if not allowed or tool["name"] in allowed],
            wanted.get("mode") or "AUTO",
            seconds,
            "\n".join(texts),
        )

    def _sound(self, part: dict[str, Any]) -> float:
        """Seconds of sound in a part."""
        if "fileData" in part:
            return self.files.used(part["fileData"].get("fileUri") or "").seconds or 0.0
        if "inlineData" not in part:
            return 0.0
        inline = part["inlineData"]
        try:
            data = base64.b64decode(inline.get("data") or "", altchars=b"-_" if "-" in inline["data"] else None)
        except (KeyError, binascii.Error):
            raise Refusal(400, "inlineData is not base64") from None
        seconds = seconds_of(io.BytesIO(data))
        if not str(inline.get("mimeType") or "").startswith("audio/") or not seconds:
            raise Refusal(400, "Request contains an invalid argument: the media cannot be read.")
        return seconds

    def _count(self, call: Call) -> Reply:
        self._allow(call)
        asked = self._read(call, self._model(call))
        return json_reply({"totalTokens": asked.input_tokens, "promptTokensDetails": _details(asked)})

    def _list_models(self, call: Call) -> Reply:
        self._allow(call)
        size = int(call.query.get("pageSize") or 50)
        first = int(call.query.get("pageToken") or 0)
        page: dict[str, Any] = {"models": [_about(model) for model in self.models[first : first + size]]}
        if first + size < len(self.models):
            page["nextPageToken"] = str(first + size)
        return json_reply(page)

    def _get_model(self, call: Call) -> Reply:
        self._allow(call)
        if call.has_fault("redirect"):
            return Reply(302, b"", {"location": f"{call.base_url}/elsewhere"})
        return json_reply(_about(self._model(call)))

    def _upload(self, call: Call) -> Reply:
        starts = call.headers.get("x-goog-upload-command") == "start"
        if starts:
            self._allow(call)  # later chunks carry no key: the address is the secret
        reply = self.files.upload(call, self.processing_polls)
        if starts and call.has_fault("no_upload_url"):
            del reply.headers["X-Goog-Upload-URL"]
        return reply

    def _list_files(self, call: Call) -> Reply:
        self._allow(call)
        size = int(call.query.get("pageSize") or 10)
        first = int(call.query.get("pageToken") or 0)
        found = self.files.list()
        page: dict[str, Any] = {"files": found[first : first + size]}
        if first + size < len(found):
            page["nextPageToken"] = str(first + size)
        return json_reply(page)

    def _get_file(self, call: Call) -> Reply:
        self._allow(call)
        return json_reply(self.files.get(f"files/{call.params['id']}"))

    def _delete_file(self, call: Call) -> Reply:
        self._allow(call)
        self.files.delete(f"files/{call.params['id']}")
        return json_reply({})


def _fault_reply(call: Call, asked: Asked) -> Reply | None:
    """The answer of a fault that does not need one of ours."""
    fault = "" if call.fault is None else call.fault.name
    usage = {"usageMetadata": _usage(asked, 0, 0), "modelVersion": asked.model, "responseId": "sandbox"}
    if fault == "quota":
        seconds, per_day = call.option("seconds", 1), bool(call.option("per_day", default=False))
        details = quota_details(asked.model, seconds, per_day=per_day)
        return json_reply(error_body(429, "You exceeded your current quota.", details=details), 429)
    if fault == "precondition":
        message = "User location is not supported for the API use."
        return json_reply(error_body(400, message, "FAILED_PRECONDITION"), 400)
    if fault == "redirect":
        return Reply(302, b"", {"location": f"{call.base_url}/elsewhere"})
    if fault == "blocked_prompt":
        return json_reply({"promptFeedback": {"blockReason": call.option("reason", "PROHIBITED_CONTENT")}, **usage})
    if fault == "blocked_answer":
        rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True}
        candidate = {"finishReason": call.option("reason", "SAFETY"), "index": 0, "safetyRatings": [rating]}
        return json_reply({"candidates": [candidate], **usage})
    return json_reply(usage) if fault == "no_candidates" else None


def _spoil(call: Call, asked: Asked, said: Answer) -> None:
    """Faults that change an answer."""
    half = said.parts[: max(1, len(said.parts) // 2)]
    if call.has_fault("no_text"):
        said.parts = []
    elif call.has_fault("thinking_only"):
        said.parts, said.finish, said.thoughts = [], "MAX_TOKENS", 256
    elif call.has_fault("cut_short"):
        said.parts, said.finish = half, "MAX_TOKENS"
    elif call.has_fault("continuation"):
        said.parts, said.finish = half, "CONTINUATION"
    elif call.has_fault("no_finish"):
        said.finish = None
    elif call.has_fault("unfitting"):
        said.parts = [{"text": msgspec.json.encode(unfitting(asked.config.get("responseJsonSchema"))).decode()}]
    elif call.has_fault("untimed"):
        said.parts = [{"text": part.get("text") or ""} for part in said.parts]


def _events(asked: Asked, said: Answer) -> Iterator[bytes]:
    """One chunk for each part, and the whole ending with the last."""
    last = max(1, len(said.parts))
    for sent in range(1, last + 1):
        yield event(_chunk(asked, said, sent, sent - 1, whole=sent == last))


def _chunk(asked: Asked, said: Answer, upto: int, first: int, *, whole: bool = True) -> dict[str, Any]:
    """The parts from `first` to before `upto`; the usage is the running total."""
    candidate: dict[str, Any] = {"index": 0}
    if said.parts:
        candidate["content"] = {"parts": said.parts[first:upto], "role": "model"}
    if whole and said.finish is not None:
        candidate["finishReason"] = said.finish
        if said.finish == "CONTINUATION":
            candidate["continuationToken"] = "c2FuZGJveA=="
    output = Answer(said.parts[:upto]).output_tokens
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(asked, output, said.thoughts),
        "modelVersion": asked.model,
        "responseId": "sandbox",
    }


def _usage(asked: Asked, output: int, thoughts: int) -> dict[str, Any]:
    usage: dict[str, Any] = {"promptTokenCount": asked.input_tokens, "promptTokensDetails": _details(asked)}
    if output:
        usage["candidatesTokenCount"] = output
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    return {**usage, "totalTokenCount": asked.input_tokens + output + thoughts}


def _details(asked: Asked) -> list[dict[str, Any]]:
    counted = {"TEXT": asked.text_tokens, "AUDIO": asked.audio_tokens}
    return [{"modality": kind, "tokenCount": count} for kind, count in counted.items() if count]


def _about(model: str) -> dict[str, Any]:
    return {
        "name": f"models/{model}",
        "version": "001",
        "displayName": model,
        "inputTokenLimit": MAX_INPUT_TOKENS,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": "transcribe" not in model,
    }
