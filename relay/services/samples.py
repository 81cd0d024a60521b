"""What every backend can be tried on: a recording and a text of which it is known what a good answer holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from relay.ports.inference import Task, Turn

FOLDER = Path(__file__).resolve().parent.parent / "samples"
CALL = "two_speakers"
MEETING = "meeting"

MEETING_TEXT = """\
Ana: Thanks for coming. The launch moves to the ninth of March, because the printers are late.
Boris: Fine. Then I tell the hotel in Lyon that we need the large room a week later.
Ana: Please do. The budget stays at forty thousand euros; the lawyers took six thousand of it.
Chloe: I still have no contract from the band. I call them on Thursday.
Ana: Good. So: Boris talks to the hotel, Chloe to the band, and I tell the printers."""
MEETING_FACTS = ("march", "lyon", "boris", "chloe", "hotel", "band")
MEETING_PROMPT = "Summarise this meeting: what was decided, and who is to do what. Name people and places."


@dataclass(frozen=True, slots=True)
class Sample:
    """`words`: what is said in it. `turns`: who speaks when. `facts`: what a good summary mentions, in lower case."""

    name: str
    path: Path | None = None
    seconds: float | None = None
    words: str = ""
    turns: tuple[Turn, ...] = ()
    facts: tuple[str, ...] = ()


@cache
def sample_for(task: Task) -> Sample:
    if task == "analyze":
        return Sample(MEETING, words=MEETING_TEXT, facts=MEETING_FACTS)
    folder = FOLDER / CALL
    said = [line.split(maxsplit=5)[5] for line in (folder / "sample.stm").read_text("utf-8").splitlines()]
    return Sample(CALL, folder / "sample.flac", 30.0, " ".join(said), _turns(folder / "sample.rttm"))


def _turns(path: Path) -> tuple[Turn, ...]:
    """RTTM: one turn per line; the fourth field is its start, the fifth its length, the eighth who speaks."""
    fields = [line.split() for line in path.read_text("utf-8").splitlines()]
    return tuple(Turn(float(field[3]), float(field[3]) + float(field[4]), field[7]) for field in fields)
