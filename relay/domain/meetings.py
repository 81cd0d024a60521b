"""An internal meeting: the operator's own recording, and what is known of it."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

State = Literal["uploading", "uploaded", "processing", "ready", "failed"]
Step = Literal["probe", "transcribe", "diarize", "analyze"]
STEPS: tuple[Step, ...] = ("probe", "transcribe", "diarize", "analyze")
ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
Speakers = Annotated[int, Meta(ge=1, le=32)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Options(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """How a meeting is to be worked on. `num_speakers`: how many there are, where that is known. A named backend is the
    only one asked; None: those of the routing, in turn. `prompt`: instead of the one in the settings."""

    language: Annotated[str, Meta(min_length=2, max_length=16)] | None = None
    num_speakers: Speakers | None = None
    max_speakers: Speakers | None = None
    transcribe_backend: Name | None = None
    diarize_backend: Name | None = None
    analyze_backend: Name | None = None
    prompt: Annotated[str, Meta(min_length=1, max_length=20_000)] | None = None


class Meeting(Struct, omit_defaults=True):
    """The row of the list. `bytes`: of the recording as announced. `duration` in seconds, once it is known. `audio`,
    `listen`: blobs, the recording as it came and a copy that browsers play. `run`: the run whose result is shown, or
    that is under way; `runs`: how many there were. `steps`: what the run under way is limited to, `["analyze"]` or
    nothing. `step`, `progress` (0 to 1) and `eta_seconds`: of a run under way. `notes`: what the operator should know
    of the result, in sentences. `version`: of row and text, for edits."""

    title: str
    filename: str
    created_at: datetime
    bytes: int
    state: State = "uploading"
    duration: float | None = None
    speakers: int = 0
    options: Options = msgspec.field(default_factory=Options)
    audio: str | None = None
    listen: str | None = None
    run: str = ""
    runs: int = 0
    steps: list[Step] = []
    step: str = ""
    progress: float | None = None
    eta_seconds: float | None = None
    error: dict[str, str] | None = None
    notes: list[str] = []
    version: int = 0
    updated_at: datetime | None = None


class Said(Struct, array_like=True, frozen=True):
    """One word: `["word", start, end]`, in seconds of the recording."""

    word: str
    start: float
    end: float


class Line(Struct, omit_defaults=True):
    """What one person says without a break. `speaker`: the id of a Speaker, None where nobody was told apart."""

    id: int
    start: float
    end: float
    text: str
    speaker: str | None = None
    words: list[Said] = []


class Speaker(Struct, omit_defaults=True):
    """`id`: `S1`, `S2`, … by first appearance. `name`: what people call them, "" before somebody said. `suggestion`: a
    name from the voice library with `confidence` (0 to 1)."""

    id: str
    name: str = ""
    seconds: float = 0.0
    suggestion: str = ""
    confidence: float | None = None


class Item(Struct, omit_defaults=True):
    """A decision, an action item, a chapter, a sentence of the summary. `lines`: ids of the lines that support it.
    `start`: seconds of the recording. `marked`: nothing in the transcript supports it, and somebody should look."""

    text: str
    lines: list[int] = []
    start: float | None = None
    who: str = ""
    due: str = ""
    title: str = ""
    marked: bool = False


class Analysis(Struct, omit_defaults=True):
    """`backend`, `model`: who wrote it, "" when nobody could."""

    summary: list[Item] = []
    decisions: list[Item] = []
    actions: list[Item] = []
    chapters: list[Item] = []
    backend: str = ""
    model: str = ""


class Result(Struct, omit_defaults=True):
    """What one run found: nothing in it changes later. `voices`: an embedding per speaker, where the model gives one,
    under the name of that model. `analysis_notes`: those of the notes that are about the analysis. `timings`: seconds
    spent per step, and seconds of "listen" in which some backend was asked."""

    run: str
    at: datetime
    options: Options
    lines: list[Line]
    speakers: list[Speaker]
    analysis: Analysis = msgspec.field(default_factory=Analysis)
    voices: dict[str, list[float]] = {}
    voice_model: str = ""
    models: dict[str, str] = {}
    notes: list[str] = []
    analysis_notes: list[str] = []
    timings: dict[str, float] = {}
    language: str = ""
    duration: float = 0.0


class Text(Struct, omit_defaults=True):
    """The document people read and edit, `internal-meetings/<id>.json`: the result of a run with all edits in it.

    `edits`: what was changed, oldest first; `undone`: what was taken back and can be done again, the newest last."""

    id: str
    title: str
    created_at: datetime
    run: str
    duration: float
    lines: list[Line]
    speakers: list[Speaker]
    analysis: Analysis
    language: str = ""
    notes: list[str] = []
    edits: list[dict[str, Any]] = []
    undone: list[dict[str, Any]] = []


def new_id(now: datetime) -> str:
    """Ids sort by time, and cannot be guessed."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
