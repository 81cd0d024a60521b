"""One text out of the pieces: words in order, speakers over the whole recording, and who says what. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from relay.domain.meetings import Line, Options, Said, Speaker
from relay.domain.speakers import DiarizedChunk, stitch_speakers
from relay.ports.inference import Segment, Transcript, Turn
from relay.services.meetings.listening import Heard, Voiced
from relay.services.speakers import assign_words
from relay.shapes.chunks import Chunk
from relay.shapes.seams import joined

LONGEST_LINE = 60.0  # seconds; a longer one is cut after a sentence, so that a reader finds a place again
SENTENCE_ENDS = (".", "?", "!", "…")


class People(NamedTuple):
    """`voices`: an embedding per speaker that has one, made by `model`. `notes`: what the operator should know."""

    turns: list[Turn]
    voices: dict[str, list[float]]
    model: str
    notes: list[str]


def people(parts: Sequence[tuple[Chunk, Voiced]], options: Options) -> People:
    """Who speaks when in the whole recording."""
    notes: list[str] = []
    models = Counter(voiced.voice_model for _, voiced in parts if voiced.voices)
    model = models.most_common(1)[0][0] if models else ""
    length = next((len(v) for _, part in parts if part.voice_model == model for v in part.voices.values()), 0)
    chunks = [
        DiarizedChunk(chunk.start, chunk.seconds, voiced.turns, _usable(voiced, model, length))
        for chunk, voiced in parts
    ]
    spoken = [chunk for chunk in chunks if chunk.turns]
    if len(models) > 1:
        notes.append("More than one model gave voices; only those of the most used one were compared.")
    if len(spoken) > 1 and not all(chunk.voices for chunk in spoken):
        notes.append(
            "Some pieces came without voices: there, speakers were matched only by who talks where pieces overlap."
        )
    turns, voices = stitch_speakers(chunks, num_speakers=options.num_speakers, max_speakers=options.max_speakers)
    found = len({turn.speaker for turn in turns})
    if options.num_speakers and found < options.num_speakers:
        notes.append(f"{options.num_speakers} speakers were expected and {found} were told apart.")
    return People([Turn(*turn) for turn in turns], {name: list(v) for name, v in voices.items()}, model, notes)


def _usable(voiced: Voiced, model: str, length: int) -> Mapping[str, Sequence[float]]:
    """Voices of different models, or of different lengths, cannot be compared."""
    if voiced.voice_model != model:
        return {}
    return {name: vector for name, vector in voiced.voices.items() if len(vector) == length}


def lines(parts: Sequence[tuple[Chunk, Heard]], turns: Sequence[Turn]) -> list[Line]:
    """What is said, in order, a line for each stretch of one speaker."""
    transcripts = [
        (chunk, Transcript("", heard.language or None, chunk.seconds, tuple(heard.segments), heard.model))
        for chunk, heard in parts
    ]
    segments = assign_words(joined(transcripts), turns)
    kept = [piece for segment in segments for piece in _readable(segment) if piece.text.strip()]
    return [
        Line(
            number,
            round(segment.start, 3),
            round(segment.end, 3),
            segment.text.strip(),
            segment.speaker,
            [Said(word.word.strip(), round(word.start, 3), round(word.end, 3)) for word in segment.words],
        )
        for number, segment in enumerate(kept)
    ]


def _readable(segment: Segment) -> list[Segment]:
    """The segment, cut after sentences where it is very long and its words have times."""
    if segment.end - segment.start <= LONGEST_LINE or not segment.words:
        return [segment]
    cut: list[Segment] = []
    begin = 0
    for at, word in enumerate(segment.words):
        last = at == len(segment.words) - 1
        long = word.end - segment.words[begin].start >= LONGEST_LINE / 2
        if last or (long and word.word.strip().endswith(SENTENCE_ENDS)):
            words = segment.words[begin : at + 1]
            text = " ".join(one.word.strip() for one in words)
            cut.append(Segment(words[0].start, words[-1].end, text, words, segment.speaker))
            begin = at + 1
    return cut


def speakers_of(spoken: Sequence[Line], turns: Sequence[Turn]) -> list[Speaker]:
    """Everybody who was told apart, by first appearance, with the seconds they speak."""
    seconds: dict[str, float] = {}
    for turn in turns:
        seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + turn.end - turn.start
    for line in spoken:
        if line.speaker is not None:
            seconds.setdefault(line.speaker, 0.0)
    return [Speaker(name, seconds=round(total, 2)) for name, total in seconds.items()]
