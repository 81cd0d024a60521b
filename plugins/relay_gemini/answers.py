"""What the chunks of an answer say. The status is 200 also for a refusal and for nothing at all."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from relay.api import BlockedByUpstream, Delta, NotAccepted, UpstreamFailed
from relay_gemini.tools import tool_call

if TYPE_CHECKING:
    from google.genai import types

log = structlog.get_logger("relay.gemini")

REFUSED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "ESCALATION",
        "MODEL_ARMOR",
    }
)
CUT = frozenset({"MAX_TOKENS", "CONTINUATION"})
COMPLETE = "STOP"
CUT_SCHEMA = (
    "the answer was cut at the limit of output tokens, so it does not fit the schema; "
    "raise max_output_tokens or ask for less"
)


@dataclass(slots=True)
class Ending:
    """What is known when the last chunk has come. `finish` is Google's word."""

    model: str
    finish: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    def read(self, chunk: types.GenerateContentResponse) -> list[types.Part]:
        """Note what the chunk says, return its parts. Raises BlockedByUpstream for a refusal."""
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            raise _refused(feedback.block_reason.value)
        usage = chunk.usage_metadata
        if usage is not None:  # a running total
            self.input_tokens = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
            self.output_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        self.model = chunk.model_version or self.model
        candidate = chunk.candidates[0] if chunk.candidates else None
        if candidate is None:
            return []
        if candidate.finish_reason is not None:
            self.finish = str(candidate.finish_reason.value)
            if self.finish in REFUSED:
                raise _refused(self.finish)
        return (candidate.content.parts if candidate.content else None) or []

    def check(self, half: str | None) -> None:
        """Raises UpstreamFailed when Gemini broke the answer off, NotAccepted when its limit of output tokens did and
        half of it is of no use: `half` says why (None: it is of use)."""
        if self.finish is None:
            raise UpstreamFailed("Gemini's answer ended without a reason, so it may not be whole")
        if self.finish in CUT and half is not None:
            raise NotAccepted(half)
        if self.finish != COMPLETE and self.finish not in CUT:
            log.warning("Gemini ended an answer early", word=self.finish)
            raise UpstreamFailed(f"Gemini ended its answer with {self.finish[:60]}")


def _refused(word: str) -> BlockedByUpstream:
    log.warning("Gemini refused a request", word=word)
    return BlockedByUpstream("the model refused this request")


def read_chat(
    chunks: Generator[types.GenerateContentResponse, None, None], model: str, *, structured: bool
) -> Iterator[Delta]:
    """The answer piece by piece, without the model's thoughts. `structured`: a schema was asked for.

    Raises BlockedByUpstream for a refusal, UpstreamFailed for an empty answer, NotAccepted for one that the limit of
    output tokens has cut where that leaves nothing of use.
    """
    ending = Ending(model)
    prefix = secrets.token_hex(6)
    spoken, calls = False, 0
    with closing(chunks):
        for part in (part for chunk in chunks for part in ending.read(chunk)):
            if part.function_call is not None:
                yield Delta(tool_calls=[tool_call(part, calls, prefix)])
                calls += 1
            elif part.text and not part.thought:
                spoken = spoken or bool(part.text.strip())
                yield Delta(part.text)
    ending.check(CUT_SCHEMA if structured else None)
    if not spoken and not calls:
        if ending.finish in CUT:
            raise NotAccepted(
                "Gemini gave an empty answer: its limit of output tokens went into thinking; raise max_output_tokens"
            )
        raise UpstreamFailed("Gemini gave an empty answer")
    finish = "length" if ending.finish in CUT else "tool_calls" if calls else "stop"
    yield Delta("", finish, ending.model, ending.input_tokens, ending.output_tokens)
