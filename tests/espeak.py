"""A made-up meeting: four people with voices of their own, read by espeak-ng, and who speaks when."""

from __future__ import annotations

import random
import shutil
import subprocess
import wave
from array import array
from pathlib import Path

import pytest

from relay.api import Turn

RATE = 16_000
PEOPLE = {
    "ana": ("en-us+f3", 75),
    "ben": ("en-gb+m2", 40),
    "cho": ("en-us+f5", 95),
    "dan": ("en-gb+m7", 15),
}
"""Name -> voice and pitch."""
SENTENCES = (
    "Good morning everybody, shall we begin with the budget of last month?",
    "I think that we have spent more than we wanted to, mostly on travel.",
    "Then let us look at the numbers before we decide anything.",
    "The draft of the report is ready, and I will send it on Wednesday.",
    "Who can take care of the rooms for the conference in May?",
    "I can do that, but I need to know how many people are coming.",
    "We should also talk about the new machines in the laboratory.",
    "No, not today please, that takes longer than the time we have left.",
)
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng: apt install espeak-ng")


def meeting(target: Path, seconds: float, seed: int = 1) -> list[Turn]:
    """Write a WAV file of about that length, and return the truth. Nobody speaks twice in a row; at times two talk at
    once."""
    source = random.Random(seed)
    spoken = {name: [_say(sentence, *voice) for sentence in SENTENCES] for name, voice in PEOPLE.items()}
    turns: list[Turn] = []
    tail, at, last = array("h"), 0, ""
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        while at < seconds * RATE:
            last = source.choice([name for name in PEOPLE if name != last])
            said = array("h")
            for _ in range(source.randint(1, 4)):
                said += source.choice(spoken[last])
            # Who begins a little early talks over the end of the one before.
            early = min(len(tail), source.choice((0, 0, 0, RATE // 3)))
            for n in range(early):
                said[n] = max(-32768, min(32767, said[n] + tail[len(tail) - early + n]))
            file.writeframes(tail[: len(tail) - early].tobytes())
            start = at - early
            pause = array("h", bytes(2 * source.randint(RATE // 10, RATE)))
            turns.append(Turn(start / RATE, (start + len(said)) / RATE, last))
            at = start + len(said) + len(pause)
            if early:
                turns[-2] = Turn(turns[-2].start, max(turns[-2].end, start / RATE), turns[-2].speaker)
            tail = said + pause
        file.writeframes(tail.tobytes())
    return turns


def _say(sentence: str, voice: str, pitch: int) -> array[int]:
    """Samples at 16 kHz; espeak-ng speaks at 22.05 kHz, and every 441st of 320 is near enough."""
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", "165", "--stdout", sentence]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    samples = array("h", done.stdout[44 : 44 + (len(done.stdout) - 44) // 2 * 2])
    return array("h", (samples[n * 441 // 320] for n in range(len(samples) * 320 // 441)))


def purity(lines: list[tuple[str | None, float]], truth: list[Turn]) -> float:
    """Of pairs (speaker in the text, second): the share in which that speaker is the one who mostly stands for whoever
    speaks at that second. Seconds at which nobody or more than one speaks do not count."""
    tally: dict[tuple[str | None, str], int] = {}
    for speaker, second in lines:
        speaking = {turn.speaker for turn in truth if turn.start <= second < turn.end}
        if len(speaking) == 1:
            key = (speaker, speaking.pop())
            tally[key] = tally.get(key, 0) + 1
    best: dict[str | None, int] = {}
    for (speaker, _), count in tally.items():
        best[speaker] = max(best.get(speaker, 0), count)
    return sum(best.values()) / sum(tally.values())
