"""What a person may change in the text of a meeting. Every edit is kept, so the text is always the run's result with
the edits done again, and any of them can be taken back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from relay.domain.meetings import Item, Line, Meeting, Result, Said, Speaker, Text

NEW = "new"
"""As a speaker's id: somebody who is not in the list yet."""
SpeakerId = Annotated[str, Meta(pattern=r"^S\d{1,3}$")]
Target = Annotated[str, Meta(pattern=r"^(S\d{1,3}|new)$")]
Section = Literal["summary", "decisions", "actions", "chapters"]
MAX_SPEAKERS = 100
MAX_COMPARED = 1_000_000
"""Words of a line before times those after, up to which equal ones are looked for."""


class WrongEdit(ValueError):
    """The edit does not fit the text. `path` names the field that is wrong."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class Rename(Struct, tag="rename", tag_field="op", forbid_unknown_fields=True):
    """One voice gets another name everywhere; "" takes the name away."""

    speaker: SpeakerId
    name: Annotated[str, Meta(max_length=80)]


class Merge(Struct, tag="merge", tag_field="op", forbid_unknown_fields=True):
    """Two speakers are one person: all lines of `speaker` become those of `into`."""

    speaker: SpeakerId
    into: SpeakerId


class Assign(Struct, tag="assign", tag_field="op", forbid_unknown_fields=True):
    """Lines are said by somebody else: those named, or all between two seconds; `only`: of this speaker."""

    to: Target
    lines: Annotated[list[int], Meta(max_length=100_000)] | None = None
    start: float | None = None
    end: float | None = None
    only: SpeakerId | None = None


class Split(Struct, tag="split", tag_field="op", forbid_unknown_fields=True):
    """A line becomes two, before its word number `word`; the second is said by `to`, when given."""

    line: int
    word: Annotated[int, Meta(ge=1)]
    to: Target | None = None


class Retext(Struct, tag="text", tag_field="op", forbid_unknown_fields=True):
    """A line says something else. Words that stay keep their times."""

    line: int
    text: Annotated[str, Meta(max_length=20_000)]


class Reword(Struct, tag="item", tag_field="op", forbid_unknown_fields=True):
    """An item of the analysis says something else; no text takes it out."""

    section: Section
    index: Annotated[int, Meta(ge=0)]
    text: Annotated[str, Meta(min_length=1, max_length=5000)] | None = None


WHO_SPEAKS = (Merge, Assign, Split)
"""Edits after which the seconds of the speakers are counted anew."""
MERGE = Merge.__struct_config__.tag
Edit = Rename | Merge | Assign | Split | Retext | Reword


def as_text(meeting_id: str, row: Meeting, result: Result) -> Text:
    """The text of a run before any edit."""
    return Text(
        id=meeting_id,
        title=row.title,
        created_at=row.created_at,
        run=result.run,
        duration=result.duration,
        lines=copy.deepcopy(result.lines),
        speakers=copy.deepcopy(result.speakers),
        analysis=copy.deepcopy(result.analysis),
        language=result.language,
        notes=list(result.notes),
    )


def replayed(fresh: Text, edits: Iterable[dict[str, Any]]) -> Text:
    """`fresh` with edits done again that once fitted."""
    count = False
    for stored in edits:
        edit = msgspec.convert(stored["edit"], Edit)
        _DO[type(edit)](fresh, edit)
        count = count or isinstance(edit, WHO_SPEAKS)
        fresh.edits.append(stored)
    if count:
        _count_seconds(fresh)
    return fresh


def apply(text: Text, edit: Edit) -> None:
    """Change the text. Raises WrongEdit, with the text as it was."""
    _DO[type(edit)](text, edit)
    if isinstance(edit, WHO_SPEAKS):
        _count_seconds(text)


def _rename(text: Text, edit: Rename) -> None:
    speaker = _speaker(text, edit.speaker, "speaker")
    speaker.name = " ".join(edit.name.split())
    speaker.suggestion, speaker.confidence = "", None


def _merge(text: Text, edit: Merge) -> None:
    gone, stays = _speaker(text, edit.speaker, "speaker"), _speaker(text, edit.into, "into")
    if gone is stays:
        raise WrongEdit("a speaker cannot be merged into itself", "into")
    for line in text.lines:
        if line.speaker == gone.id:
            line.speaker = stays.id
    stays.name = stays.name or gone.name
    text.speakers.remove(gone)


def _assign(text: Text, edit: Assign) -> None:
    if (edit.lines is None) == (edit.start is None or edit.end is None):
        raise WrongEdit("give either lines, or start and end", "lines")
    if edit.only is not None:
        _speaker(text, edit.only, "only")
    wanted = set(edit.lines or ())
    if edit.lines is None:
        assert edit.start is not None
        assert edit.end is not None
        wanted = {line.id for line in text.lines if edit.start <= (line.start + line.end) / 2 < edit.end}
    elif unknown := wanted - {line.id for line in text.lines}:
        raise WrongEdit(f"there is no line {min(unknown)}", "lines")
    chosen = [line for line in text.lines if line.id in wanted and edit.only in {None, line.speaker}]
    if not chosen:
        raise WrongEdit("there is no line in that range", "start" if edit.lines is None else "lines")
    to = _target(text, edit.to)
    for line in chosen:
        line.speaker = to


def _split(text: Text, edit: Split) -> None:
    at, line = _line(text, edit.line)
    tokens = line.text.split()
    if edit.word >= len(tokens):
        raise WrongEdit(f"this line has {len(tokens)} words; the second part would be empty", "word")
    timed = len(line.words) == len(tokens)
    share = len(" ".join(tokens[: edit.word])) / max(1, len(line.text))
    middle = line.words[edit.word].start if timed else line.start + (line.end - line.start) * share
    to = line.speaker if edit.to is None else _target(text, edit.to)
    second = Line(
        max(one.id for one in text.lines) + 1,
        round(middle, 3),
        line.end,
        " ".join(tokens[edit.word :]),
        to,
        line.words[edit.word :] if timed else [],
    )
    line.words = line.words[: edit.word] if timed else []
    line.text, line.end = " ".join(tokens[: edit.word]), line.words[-1].end if timed else round(middle, 3)
    text.lines.insert(at + 1, second)


def _retext(text: Text, edit: Retext) -> None:
    at, line = _line(text, edit.line)
    said = " ".join(edit.text.split())
    if not said:
        del text.lines[at]
        _count_seconds(text)
        return
    line.words = _retimed(line, said.split()) if line.words else []
    line.text = said


def _reword(text: Text, edit: Reword) -> None:
    items: list[Item] = getattr(text.analysis, edit.section)
    if edit.index >= len(items):
        raise WrongEdit(f"{edit.section} has {len(items)} entries", "index")
    if edit.text is None:
        del items[edit.index]
    else:
        items[edit.index].text, items[edit.index].marked = edit.text, False


_DO: dict[type, Callable[[Text, Any], None]] = {
    Rename: _rename,
    Merge: _merge,
    Assign: _assign,
    Split: _split,
    Retext: _retext,
    Reword: _reword,
}


def _retimed(line: Line, tokens: Sequence[str]) -> list[Said]:
    """Words that stay keep their times; those between share the time between."""
    before = [word.word for word in line.words]
    if len(before) * len(tokens) > MAX_COMPARED:
        # The search for equal words grows with the square, or worse.
        step = (line.end - line.start) / len(tokens)
        return [_said(line.start + n * step, step, token) for n, token in enumerate(tokens)]
    made: list[Said] = []
    for tag, a, b, c, d in SequenceMatcher(None, before, list(tokens), autojunk=False).get_opcodes():
        if tag == "equal":
            made += line.words[a:b]
            continue
        start = line.words[a - 1].end if a else line.start
        end = line.words[b].start if b < len(before) else line.end
        step = max(0.0, end - start) / max(1, d - c)
        made += [_said(start + n * step, step, tokens[c + n]) for n in range(d - c)]
    return made


def _said(start: float, seconds: float, word: str) -> Said:
    return Said(word, round(start, 3), round(start + seconds, 3))


def _speaker(text: Text, speaker_id: str, path: str) -> Speaker:
    for speaker in text.speakers:
        if speaker.id == speaker_id:
            return speaker
    raise WrongEdit(f"there is no speaker {speaker_id}", path)


def _target(text: Text, to: str) -> str:
    if to != NEW:
        return _speaker(text, to, "to").id
    if len(text.speakers) >= MAX_SPEAKERS:
        raise WrongEdit(f"a meeting has {MAX_SPEAKERS} speakers at most", "to")
    # Not the id of somebody who was merged away: the run's voice of that id is another's.
    gone = [stored["edit"]["speaker"] for stored in text.edits if stored["edit"]["op"] == MERGE]
    made = Speaker(f"S{1 + max((int(known[1:]) for known in (*(one.id for one in text.speakers), *gone)), default=0)}")
    text.speakers.append(made)
    return made.id


def _line(text: Text, line_id: int) -> tuple[int, Line]:
    for at, line in enumerate(text.lines):
        if line.id == line_id:
            return at, line
    raise WrongEdit(f"there is no line {line_id}", "line")


def _count_seconds(text: Text) -> None:
    """Of all speakers, from their lines; who has none left stays in the list with nothing."""
    seconds: dict[str | None, float] = {}
    for line in text.lines:
        seconds[line.speaker] = seconds.get(line.speaker, 0.0) + line.end - line.start
    for speaker in text.speakers:
        speaker.seconds = round(seconds.get(speaker.id, 0.0), 2)
