"""How well a recording was understood, against what is known to be in it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import jiwer

import relay
from relay.api import Turn

FOLDER = Path(relay.__file__).parent / "samples" / "two_speakers"
CALL = FOLDER / "sample.flac"
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
TWO_CITIES = """
    It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was
    the epoch of belief, it was the epoch of incredulity, it was the season of light, it was the season of darkness, it
    was the spring of hope, it was the winter of despair, we had everything before us, we had nothing before us, we were
    all going direct to heaven, we were all going direct the other way. In short, the period was so far like the present
    period, that some of its noisiest authorities insisted on its being received, for good or for evil, in the
    superlative degree of comparison only."""


def word_error(reference: str, heard: str) -> float:
    """Word error rate without letter case and punctuation."""
    return jiwer.wer(*(" ".join(re.findall(r"[a-z']+", text.lower())) for text in (reference, heard)))


def reference_turns() -> list[Turn]:
    fields = (line.split() for line in (FOLDER / "sample.rttm").read_text().splitlines())
    return [Turn(float(start), float(start) + float(length), name) for _, _, _, start, length, _, _, name, *_ in fields]


def diarization_error(turns: Iterable[Turn]) -> float:
    """The share of the speech that is missed, invented or given to the wrong one; overlaps count, no forgiveness at
    the edges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyannote.core import Annotation, Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate

        def annotation(turns: Iterable[Turn]) -> Annotation:
            made = Annotation()
            for number, turn in enumerate(turns):
                made[Segment(turn.start, turn.end), number] = turn.speaker
            return made

        rate = DiarizationErrorRate()(annotation(reference_turns()), annotation(turns), uem=Timeline([Segment(0, 30)]))
    return float(rate)
