"""Who speaks when, by the diarizer inside the speech library.

It numbers the speakers of one stream, and of one stream only: streams of one transcriber go on counting, across calls
and callers. So a recording gets a transcriber and a stream of its own. It reconsiders the last two minutes whenever
more is heard; what is older stays as it is.
"""

from __future__ import annotations

from itertools import count, takewhile
from typing import Any

from relay.api import CallContext, DecodedAudio, DiarizedChunk, SpeakerTurn
from relay_local.engine import RATE, Engine, explained, one_at_a_time
from relay_local.samples import loudest, read_scaled

MODEL = "moonshine-speakers"
PIECE_SECONDS = 5.0  # the library is held for this much audio at a time; others have their turn in between
LEAST_SAMPLES = round(PIECE_SECONDS * RATE)  # the library names no speaker in less; silence makes up for it
OPTIONS = {"identify_speakers": "true", "skip_transcription": "true"}


def diarize(engine: Engine, audio: DecodedAudio, ctx: CallContext) -> DiarizedChunk:
    """The turns of the whole recording, with the library's numbers as speakers; none where nobody speaks.

    About as long as the recording takes to play. Stops between two pieces when the call is over or cancelled.
    """
    peak = loudest(audio)
    if not peak:
        return DiarizedChunk(0.0, audio.seconds, [])
    transcriber: Any = None
    try:
        with engine.turn(ctx.remaining()), explained():
            transcriber = engine.new_transcriber(OPTIONS)
            stream = transcriber.create_stream(update_interval=PIECE_SECONDS)
            stream.start()
        for start in takewhile(lambda start: start < audio.seconds, count(0.0, PIECE_SECONDS)):
            samples = read_scaled(audio, start, start + PIECE_SECONDS, peak)
            samples += [0.0] * (LEAST_SAMPLES - round(audio.seconds * RATE))
            with engine.turn(ctx.remaining()), explained():
                stream.add_audio(samples, RATE)
            ctx.progress(min((start + PIECE_SECONDS) / audio.seconds, 1.0))
        with engine.turn(ctx.remaining()), explained():
            lines = _finish(stream)
    finally:
        if transcriber is not None:
            with one_at_a_time:
                transcriber.close()
    return DiarizedChunk(0.0, audio.seconds, [turn for line in lines for turn in _turns(line, audio.seconds)])


def _finish(stream: Any) -> list[Any]:
    """`stop` keeps a failure of the last update to itself and returns None; asking again brings it to light."""
    transcript = stream.stop() or stream.update_transcription(0)
    return list(transcript.lines)


def _turns(line: Any, seconds: float) -> list[SpeakerTurn]:
    """Those in the recording, which may be shorter than what the library was given."""
    return [
        SpeakerTurn(span.start_time, min(span.start_time + span.duration, seconds), str(span.speaker_index))
        for span in line.speaker_spans or []
        if span.start_time < seconds
    ]
