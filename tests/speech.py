"""A recording in which every second is another level, and a speech server that reads the levels as words."""

from __future__ import annotations

import io
import wave
from array import array
from pathlib import Path
from typing import Any

from tests.loopback import Raw, Request, json_reply

RATE = 16_000
STEP = 100  # of the level, from one second to the next


def counted(path: Path, seconds: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for second in range(seconds):
            file.writeframes(array("h", [(second + 1) * STEP] * RATE).tobytes())
    return path


def hear(request: Request, *, words: bool = True) -> Raw:
    """Each second is one word, `w7` for the eighth; without `words`, only the text."""
    said = list(words_of(sound_of(request)))
    if not words:
        return json_reply({"text": " ".join(word["word"] for word in said)})
    segments = [{"start": said[0]["start"], "end": said[-1]["end"], "text": " ".join(word["word"] for word in said)}]
    return json_reply({"text": segments[0]["text"], "segments": segments, "words": said, "language": "en"})


def sound_of(request: Request) -> array[int]:
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    file = next(part for part in request.body.split(b"--" + boundary) if b"filename=" in part)
    with wave.open(io.BytesIO(file.partition(b"\r\n\r\n")[2])) as sound:
        return array("h", sound.readframes(sound.getnframes()))


def words_of(sound: array[int]) -> Any:
    """Of the seconds of which at least half is there."""
    at = 0
    while at < len(sound):
        level, end = sound[at], at
        while end < len(sound) and sound[end] == level:
            end += 1
        if end - at >= RATE / 2:
            yield {"word": f"w{level // STEP - 1}", "start": at / RATE, "end": end / RATE}
        at = end
