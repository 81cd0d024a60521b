"""Summary, decisions, action items and chapters, from a language model; and what stands on nothing taken out again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from relay.domain.meetings import Analysis, Item, Line, Options
from relay.domain.support import Passages, guarded
from relay.errors import NotFound, RelayError, Unsupported, UpstreamFailed
from relay.ports.inference import CallContext, ChatRequest, InferenceBackend
from relay.services import tasks
from relay.services.infer import Infer
from relay.services.meetings.listening import ACCOUNT
from relay.services.meetings.pieces import Pieces
from relay.services.unmetered import ask, patiently

PART_CHARS = 24_000
"""Of the transcript in one question: about 6000 tokens, which small models still read well."""
CALL_SECONDS = 600.0
RETRIES = 2
"""Of one part: what a model cannot write twice, it will not write after two minutes."""
MAX_ITEMS = 200
MAX_CHARS = 5000
"""Of one kind from one part, and of one item: more is a model that cannot stop."""
SYSTEM = (
    "You read the transcript of a meeting. Each line begins with its number in brackets and the speaker."
    " Say only what the transcript says, in its language. For everything you write, give the numbers of the lines"
    " it stands on. Leave a list empty when there is nothing for it."
)
SECTIONS = ("summary", "decisions", "actions", "chapters")
_NUMBERS = {"type": "array", "items": {"type": "integer"}}


def _list_of(**fields: Any) -> dict[str, Any]:
    properties = {**fields, "lines": _NUMBERS}
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name not in {"who", "due"}],
            "additionalProperties": False,
        },
    }


_TEXT = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "summary": _list_of(text=_TEXT),
        "decisions": _list_of(text=_TEXT),
        "actions": _list_of(text=_TEXT, who=_TEXT, due=_TEXT),
        "chapters": _list_of(title=_TEXT, text=_TEXT),
    },
    "required": ["summary", "decisions", "actions", "chapters"],
    "additionalProperties": False,
}


class Part(Struct, omit_defaults=True):
    """What was said of one part of the transcript. `plain`: a model without schemas wrote a summary only."""

    summary: list[Item] = []
    decisions: list[Item] = []
    actions: list[Item] = []
    chapters: list[Item] = []
    backend: str = ""
    model: str = ""
    plain: bool = False


class Analyser:
    """`prompt`: what the settings ask at this moment."""

    def __init__(self, infer: Infer, prompt: Callable[[], str]) -> None:
        self._infer = infer
        self._prompt = prompt

    def __call__(
        self,
        lines: Sequence[Line],
        names: Mapping[str | None, str],
        options: Options,
        pieces: Pieces,
        ctx: CallContext,
        pauses: Sequence[float],
    ) -> tuple[Analysis, list[str]]:
        """The analysis and notes on it. `names`: what the speakers are called. `pauses`: before a failed part is tried
        again. No backend, or one that stays dead, costs the analysis and not the meeting."""
        question = options.prompt or self._prompt()
        parts: list[Part] = []
        try:
            if not self._infer.candidates("analyze", options.analyze_backend, None):
                return Analysis(), ["No backend here can analyze a text, so there is no summary."]
            for part in parted(lines):
                text = "\n".join(f"[{line.id}] {names.get(line.speaker) or 'Speaker'}: {line.text}" for line in part)

                def make(part: Sequence[Line] = part, text: str = text) -> Part:
                    return patiently(lambda: self._ask(part, text, question, options, ctx), pauses[:RETRIES], ctx)

                parts.append(pieces.once(_piece_name(question, text, options), Part, make))
        except NotFound as exc:
            return Analysis(), [f"There is no summary: {exc.message}"]
        except RelayError as exc:
            ctx.remaining()
            return Analysis(), [
                f"The summary could not be written: {exc.message.rstrip('.')}. Run this step again later."
            ]
        return put_together(parts, lines, names)

    def _ask(self, part: Sequence[Line], text: str, question: str, options: Options, ctx: CallContext) -> Part:

        def with_schema(backend: InferenceBackend, inner: CallContext) -> Part:
            try:
                said, model = tasks.analyze(backend, self._request(question, text, schema=True), inner)
                return msgspec.structs.replace(_read(said["data"], backend), model=model)
            except Unsupported:
                said, model = tasks.analyze(backend, self._request(question, "\n".join(x.text for x in part)), inner)
                sentences = [Item(line.strip(" -•*\t")) for line in said["text"].splitlines() if line.strip(" -•*\t")]
                return Part(summary=sentences[:MAX_ITEMS], backend=backend.name, model=model, plain=True)

        inner = CallContext(deadline=time.monotonic() + min(CALL_SECONDS, ctx.remaining()))
        with ctx.interruptible(inner.cancel):
            answer, _ = ask(
                self._infer,
                "analyze",
                options.analyze_backend,
                inner,
                with_schema,
                account=ACCOUNT,
                reference="meeting analysis",
            )
        return answer

    def _request(self, question: str, text: str, *, schema: bool = False) -> ChatRequest:
        messages = [{"role": "user", "content": question}, {"role": "user", "content": text}]
        if schema:
            messages.insert(0, {"role": "system", "content": SYSTEM})
        return ChatRequest(messages, text, SCHEMA if schema else None)


def _piece_name(question: str, text: str, options: Options) -> str:
    """The same question about the same text has the same answer: one that was cut off goes on with it."""
    asked = "\0".join((options.analyze_backend or "", question, text))
    return f"analysis/{hashlib.sha256(asked.encode()).hexdigest()[:16]}"


def _read(data: Any, backend: InferenceBackend) -> Part:
    """What a model wrote, as far as it is of use."""
    try:
        part = msgspec.convert(data, Part)
    except msgspec.ValidationError as exc:
        raise UpstreamFailed(f"{backend.name} wrote an analysis of the wrong shape: {exc}") from None
    for name in SECTIONS:
        items: list[Item] = getattr(part, name)
        del items[MAX_ITEMS:]
        for item in items:
            item.text, item.title = item.text[:MAX_CHARS], item.title[:MAX_CHARS]
            item.who, item.due = item.who[:80], item.due[:80]
    return msgspec.structs.replace(part, backend=backend.name, plain=False)


def parted(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """The transcript in parts that a model reads at once, cut between lines."""
    part: list[Line] = []
    size = 0
    for line in lines:
        if part and size + len(line.text) > PART_CHARS:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line.text) + 20
    if part:
        yield part


def put_together(
    parts: Sequence[Part], lines: Sequence[Line], names: Mapping[str | None, str]
) -> tuple[Analysis, list[str]]:
    """One analysis of all parts, with only what stands on the transcript; and notes on what was taken out."""
    passages = Passages.of(lines, names)
    analysis = Analysis(
        backend=", ".join(sorted({part.backend for part in parts if part.backend})),
        model=", ".join(sorted({part.model for part in parts if part.model})),
    )
    notes: list[str] = []
    if any(part.plain for part in parts):
        notes.append("The backend that wrote the summary cannot fill in lists: no decisions, action items, chapters.")
    for name in SECTIONS:
        items, dropped = guarded([item for part in parts for item in getattr(part, name)], passages)
        setattr(analysis, name, items)
        if dropped:
            notes.append(f"{dropped} of the {name} had nothing in the transcript to stand on, and were left out.")
    return analysis, notes
