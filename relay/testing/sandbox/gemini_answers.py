"""What the sandbox's Gemini says: the same for the same request, and moving with what it was sent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from relay.testing.sandbox.schema_values import fitting
from relay.testing.sandbox.service import Refusal

AUDIO_TOKENS = 32  # for one second
UTTERANCE_SECONDS = 5.0
PAUSE_SECONDS = 0.4
SENTENCES = (
    "We met on Monday to look at the plan.",
    "The release moves to Friday because the tests found two defects.",
    "Ann takes the first one and Bob takes the second one.",
    "We agreed to meet again on Thursday at ten.",
)
THOUGHTS = {"": 64, "MINIMAL": 0, "LOW": 16, "MEDIUM": 64, "HIGH": 256}
SIGNATURE = "c2FuZGJveC1zaWduYXR1cmU="


@dataclass
class Asked:
    """A request, read. `contents` and `config` are in camelCase, `seconds` of sound."""

    model: str
    contents: list[dict[str, Any]]
    config: dict[str, Any]
    system: str
    tools: list[dict[str, Any]]
    mode: str
    seconds: float
    text: str

    @property
    def input_tokens(self) -> int:
        return self.audio_tokens + self.text_tokens

    @property
    def audio_tokens(self) -> int:
        return math.ceil(self.seconds * AUDIO_TOKENS)

    @property
    def text_tokens(self) -> int:
        return tokens(self.text + self.system)


@dataclass
class Answer:
    """`parts` in the order they are sent; `thoughts` in tokens. `finish` None: the answer just ends."""

    parts: list[dict[str, Any]]
    finish: str | None = "STOP"
    thoughts: int = 0

    @property
    def output_tokens(self) -> int:
        return sum(tokens(part.get("text") or json.dumps(part.get("functionCall") or "")) for part in self.parts)


def tokens(text: str) -> int:
    return math.ceil(len(text) / 4)


def answer(asked: Asked) -> Answer:
    if "transcribe" in asked.model:
        return Answer(transcription(asked))
    if "functionCall" not in str(asked.contents[-1]) and (call := function_call(asked)):
        return Answer([call], thoughts=_thoughts(asked))
    schema = asked.config.get("responseJsonSchema") or asked.config.get("responseSchema")
    if schema is not None and asked.seconds and "segments" in (schema.get("properties") or {}):
        text = json.dumps({"language": "en", "segments": [_segment(item) for item in utterances(asked.seconds)]})
    elif asked.config.get("responseMimeType") == "application/json":
        text = json.dumps(fitting(plain(schema or {"type": "object"})))
    else:
        said = asked.contents[-1]["parts"][-1].get("text") or ""
        text = "In short: " + " ".join(said.split()[:60])
    return _limited(asked, text)


def _limited(asked: Asked, text: str) -> Answer:
    """Thoughts eat the limit of output tokens too, and a stop sequence ends the text."""
    for stop in asked.config.get("stopSequences") or ():
        text = text.partition(stop)[0]
    thoughts = _thoughts(asked)
    limit = asked.config.get("maxOutputTokens")
    if limit is None or thoughts + tokens(text) <= limit:
        return Answer(_pieces(text), thoughts=thoughts)
    room = max(0, limit - thoughts)
    return Answer(_pieces(text[: room * 4]), "MAX_TOKENS", min(thoughts, limit))


def _pieces(text: str) -> list[dict[str, Any]]:
    """A few words to a chunk."""
    words = text.split(" ")
    chunks = [" ".join(words[at : at + 6]) + (" " if at + 6 < len(words) else "") for at in range(0, len(words), 6)]
    return [{"text": chunk} for chunk in chunks if chunk]


def _thoughts(asked: Asked) -> int:
    thinking = asked.config.get("thinkingConfig") or {}
    budget = thinking.get("thinkingBudget")
    if budget is not None and budget >= 0:
        return int(budget)
    return THOUGHTS.get(str(thinking.get("thinkingLevel") or ""), THOUGHTS[""])


def utterances(seconds: float) -> Iterator[tuple[float, float, str, str]]:
    """(start, end, speaker, text): two people take turns as long as the recording lasts."""
    for number in range(max(1, math.ceil(seconds / UTTERANCE_SECONDS))):
        start = number * UTTERANCE_SECONDS
        end = min(start + UTTERANCE_SECONDS - PAUSE_SECONDS, seconds)
        yield start, max(end, start), f"spk_{number % 2 + 1}", SENTENCES[number % len(SENTENCES)]


def _segment(item: tuple[float, float, str, str]) -> dict[str, Any]:
    start, end, _, text = item
    return {"start": round(start, 3), "end": round(end, 3), "text": text}


def transcription(asked: Asked) -> list[dict[str, Any]]:
    """The parts of a speech model. Refusal for what the model does not do."""
    config = asked.config.get("audioTranscriptionConfig") or {}
    words, speakers = bool(config.get("wordTimestamp")), bool(config.get("diarization"))
    if not asked.seconds:
        raise Refusal(400, "this model needs audio")
    if (words or speakers) and config.get("mode") == "SMART":
        raise Refusal(400, "SMART cannot be combined with word times or diarization")
    if asked.seconds > (1800 if words or speakers else 3600) + 1:
        raise Refusal(400, "the audio is longer than this model supports with these settings")
    language = (config.get("languageCodes") or ["en"])[0]
    parts = []
    for start, end, speaker, text in utterances(asked.seconds):
        spoken: dict[str, Any] = {"text": text, "languageCode": f"{language}-US" if language == "en" else language}
        if speakers:
            spoken["speakerLabel"] = speaker
        if words:
            said = text.split()
            step = (end - start) / len(said)
            times = [(f"{start + at * step:.3f}s", f"{start + (at + 1) * step:.3f}s") for at in range(len(said))]
            spoken["words"] = [
                {"word": word, "startOffset": first, "endOffset": last}
                for word, (first, last) in zip(said, times, strict=True)
            ]
        parts.append({"text": text + " ", "audioTranscription": spoken})
    return parts


def function_call(asked: Asked) -> dict[str, Any] | None:
    """A call of the first function that is allowed, when the last turn is not already the result of one."""
    if not asked.tools or asked.mode == "NONE" or "functionResponse" in str(asked.contents[-1]):
        return None
    tool = asked.tools[0]
    arguments = fitting(plain(tool.get("parametersJsonSchema") or tool.get("parameters") or {"type": "object"}))
    part: dict[str, Any] = {"functionCall": {"name": tool["name"], "args": arguments}}
    if asked.model.startswith("gemini-3"):
        part["thoughtSignature"] = SIGNATURE
    return part


def plain(schema: Any) -> Any:
    """A schema with its types in lower case: Google's own dialect writes them in capitals."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: item.lower() if key == "type" and isinstance(item, str) else plain(item) for key, item in schema.items()
    }
