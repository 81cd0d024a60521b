"""The text of a meeting as a file: for people, for a player, for other programs. Hostile text stays text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from relay.domain.meetings import Item, Line, Text

SUBTITLE_CHARS = 84
"""Two lines of a subtitle; a longer line of speech is shown in parts."""
SPEAKER_ID = re.compile(r"\bS\d{1,3}\b")
SECTIONS = {
    "summary": "Summary",
    "decisions": "Decisions",
    "actions": "Action items",
    "chapters": "Chapters",
}


def clock(seconds: float, point: str = "") -> str:
    """`1:02:03`, or `01:02:03,450` with a `point` before the milliseconds."""
    thousandths = round(seconds * 1000)
    hours, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, thousandths = divmod(rest, 1000)
    if point:
        return f"{hours:02}:{minutes:02}:{whole:02}{point}{thousandths:03}"
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"


def names(text: Text) -> Mapping[str | None, str]:
    """What each speaker is called; without a name, the number."""
    found: dict[str | None, str] = {
        speaker.id: speaker.name or f"Speaker {speaker.id[1:]}" for speaker in text.speakers
    }
    return found | {None: ""}


def as_txt(text: Text) -> str:
    who = names(text)
    body = [f"[{clock(line.start)}] {_said(who, line)}" for line in text.lines]
    return "\n".join([_one_line(text.title), "", *_plain_sections(text, "{}:"), *body, ""])


def as_markdown(text: Text) -> str:
    who = names(text)
    out = [f"# {_md(_one_line(text.title))}", ""]
    for name, heading in SECTIONS.items():
        items = getattr(text.analysis, name)
        if items:
            out += [f"## {heading}", "", *(f"- {_md(_item(who, item))}" for item in items), ""]
    out += ["## Transcript", ""]
    for line in text.lines:
        speaker = who.get(line.speaker, "")
        out += [f"**{_md(speaker)}** ({clock(line.start)}): {_md(line.text)}" if speaker else _md(line.text), ""]
    return "\n".join(out)


def as_srt(text: Text) -> str:
    cues = [
        f"{number}\n{clock(start, ',')} --> {clock(end, ',')}\n{said}\n"
        for number, (start, end, said) in enumerate(_cues(text), 1)
    ]
    return "\n".join(cues)


def as_vtt(text: Text) -> str:
    cues = [
        f"{clock(start, '.')} --> {clock(end, '.')}\n{html.escape(said, quote=False)}\n"
        for start, end, said in _cues(text)
    ]
    return "WEBVTT\n\n" + "\n".join(cues)


def as_html(text: Text) -> str:
    """A page of its own, without scripts, to send to somebody or to print."""
    who = names(text)
    parts = [f"<h1>{html.escape(text.title)}</h1>", f"<p>{clock(text.duration)}, {len(text.speakers)} speakers</p>"]
    for name, heading in SECTIONS.items():
        items = getattr(text.analysis, name)
        if items:
            rows = "".join(f"<li>{html.escape(_item(who, item))}</li>" for item in items)
            parts.append(f"<h2>{heading}</h2><ul>{rows}</ul>")
    parts.append("<h2>Transcript</h2>")
    for line in text.lines:
        speaker = html.escape(who.get(line.speaker, ""))
        name = f"<b>{speaker}</b> " if speaker else ""
        parts.append(f"<p><small>{clock(line.start)}</small> {name}{html.escape(line.text)}</p>")
    style = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}small{color:#666}"
    head = f'<meta charset="utf-8"><title>{html.escape(text.title)}</title><style>{style}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def as_json(text: Text) -> str:
    """Everything but the history of the edits."""
    view = msgspec.to_builtins(text)
    for history in ("edits", "undone"):
        view.pop(history, None)
    return msgspec.json.format(msgspec.json.encode(view), indent=1).decode() + "\n"


FORMATS: dict[str, tuple[str, Callable[[Text], str]]] = {
    "txt": ("text/plain; charset=utf-8", as_txt),
    "md": ("text/markdown; charset=utf-8", as_markdown),
    "srt": ("application/x-subrip; charset=utf-8", as_srt),
    "vtt": ("text/vtt; charset=utf-8", as_vtt),
    "html": ("text/html; charset=utf-8", as_html),
    "json": ("application/json", as_json),
}
"""Format -> its content type, and what writes it."""


def _said(who: Mapping[str | None, str], line: Line) -> str:
    speaker = who.get(line.speaker, "")
    return f"{speaker}: {line.text}" if speaker else line.text


def _item(who: Mapping[str | None, str], item: Item) -> str:
    """The model was told of speakers by their ids, and writes of them so."""
    words = _named(who, f"{item.title}: {item.text}" if item.title else item.text)
    extra = ", ".join(part for part in (_named(who, item.who), item.due) if part)
    at = f" [{clock(item.start)}]" if item.start is not None else ""
    return _one_line(f"{words}{f' ({extra})' if extra else ''}{at}{' (not sure)' if item.marked else ''}")


def _one_line(text: str) -> str:
    """Where each line is a thing of its own, a break in one would make up another."""
    return " ".join(text.split())


def _named(who: Mapping[str | None, str], said: str) -> str:
    return SPEAKER_ID.sub(lambda found: who.get(found[0]) or found[0], said)


def _plain_sections(text: Text, heading: str) -> Iterator[str]:
    who = names(text)
    for name, title in SECTIONS.items():
        items = getattr(text.analysis, name)
        if items:
            yield heading.format(title)
            yield from (f"- {_item(who, item)}" for item in items)
            yield ""


def _md(text: str) -> str:
    """Text that Markdown takes for text."""
    escaped = "".join(f"\\{char}" if char in "\\`*_[]#|" else char for char in text)
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


def _cues(text: Text) -> Iterator[tuple[float, float, str]]:
    """Subtitles: lines of speech in parts that can be read, the name with the first of each."""
    who = names(text)
    for line in text.lines:
        tokens = line.text.split()
        timed = len(line.words) == len(tokens)
        begin, first = 0, True
        while begin < len(tokens):
            end = begin + 1
            while end < len(tokens) and len(" ".join(tokens[begin : end + 1])) <= SUBTITLE_CHARS:
                end += 1
            said = " ".join(tokens[begin:end])
            speaker = who.get(line.speaker, "") if first else ""
            yield (
                line.words[begin].start if timed else _at(line, begin / len(tokens)),
                line.words[end - 1].end if timed else _at(line, end / len(tokens)),
                (f"{speaker}: {said}" if speaker else said).replace("-->", "->"),  # it would be taken for a time
            )
            begin, first = end, False


def _at(line: Line, share: float) -> float:
    return line.start + (line.end - line.start) * share
