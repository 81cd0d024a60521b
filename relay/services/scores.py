"""How good an answer is, against what is known of the sample: 1 is perfect, 0 is worthless."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relay.ports.inference import Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEP = 0.01
"""Seconds; speakers are compared in steps of this length."""


def words_right(known: str, heard: str) -> float:
    """One minus the word error rate, without letter case and punctuation."""
    import jiwer

    error = jiwer.wer(_plain(known), _plain(heard) or "-")
    return max(0.0, 1.0 - float(error))


def speakers_right(known: Sequence[Turn], found: Sequence[Turn]) -> float:
    """One minus the diarization error rate: missed, invented and confused speech against all speech, overlaps counted,
    no forgiveness at the edges. Speakers are matched one to one so that it comes out best."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    steps = round(max(turn.end for turn in [*known, *found]) / STEP) + 1
    truth, answer = _active(known, steps), _active(found, steps)
    speaking, answered = truth.sum(axis=0), answer.sum(axis=0)
    together = truth.astype(np.int64) @ answer.T.astype(np.int64)
    rows, columns = linear_sum_assignment(-together)
    right = together[rows, columns].sum()
    error = (np.maximum(speaking, answered).sum() - right) / max(1, speaking.sum())
    return max(0.0, 1.0 - float(error))


def facts_right(facts: Sequence[str], text: str) -> float:
    """The share of the facts that the text mentions."""
    low = text.lower()
    return sum(fact in low for fact in facts) / len(facts)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def _active(turns: Sequence[Turn], steps: int) -> NDArray[np.bool_]:
    """speakers x steps: who speaks when."""
    import numpy as np

    names = list(dict.fromkeys(turn.speaker for turn in turns))
    active = np.zeros((len(names), steps), dtype=bool)
    for turn in turns:
        active[names.index(turn.speaker), round(turn.start / STEP) : round(turn.end / STEP)] = True
    return active
