"""Who speaks when: chunk by chunk from the server, then one set of speakers for the whole."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from relay.api import (
    CallContext,
    Chunk,
    Diarization,
    DiarizedChunk,
    DiarizeRequest,
    Endpoint,
    HTTPReply,
    Invalid,
    Turn,
    decoded,
    in_chunks,
    stitch_speakers,
)
from relay_spark.services import Service
from relay_spark.settings import Settings

log = structlog.get_logger("relay.spark")

NUMBERED = re.compile(r"^(?:speaker|spk|s)?[ _-]?0*(\d+)$", re.IGNORECASE)

Voice = tuple[float, ...]


class _Turn(msgspec.Struct):
    start: float
    end: float
    speaker: str | int
    embedding: Any = None


def diarize(
    service: Service, request: DiarizeRequest, settings: Settings, ctx: CallContext, *, backend: str
) -> Diarization:
    """Raises Invalid (reason `no_speech`) when nobody speaks, and what `Endpoint` raises."""
    endpoint = service.endpoint
    fields = [("max_speakers", str(min(request.max_speakers or math.inf, settings.max_speakers_per_chunk)))]
    if request.num_speakers is not None:
        fields.append(("num_speakers", str(request.num_speakers)))

    def send(chunk: Chunk, wav: Path) -> HTTPReply:
        place = [("chunk_index", str(chunk.index)), ("offset", f"{request.offset + chunk.start:.3f}")]
        return endpoint.post_wav([*place, *fields], wav, ctx)

    def read(reply: HTTPReply, chunk: Chunk) -> DiarizedChunk:
        return read_chunk(reply, chunk, endpoint)

    chunking = settings.chunking(service.announced.max_seconds)
    with decoded(request.audio, ctx, backend) as audio:
        parts = in_chunks(audio, chunking, ctx, name=f"{backend} diarize", send=send, read=read)
        seconds = audio.seconds
    turns, voices = _stitched([part for _, part in parts], request, settings.speaker_threshold)
    if not turns:
        raise Invalid("no speech was found in the recording", "file", reason="no_speech")
    announced = service.announced
    return Diarization(turns, seconds, announced.model or backend, voices, announced.embedding_model)


def _stitched(
    chunks: Sequence[DiarizedChunk], request: DiarizeRequest, threshold: float
) -> tuple[tuple[Turn, ...], Mapping[str, Voice]]:
    """Embeddings of different lengths come from different models and cannot be compared: then none is used."""
    lengths = {len(voice) for chunk in chunks for voice in chunk.voices.values()}
    if len(lengths) > 1:
        log.warning(
            "the Spark server gave embeddings of different lengths, which are not used", lengths=sorted(lengths)
        )
        chunks = [DiarizedChunk(chunk.offset, chunk.duration, chunk.turns) for chunk in chunks]
    turns, voices = stitch_speakers(
        chunks, num_speakers=request.num_speakers, max_speakers=request.max_speakers, threshold=threshold
    )
    return tuple(Turn(*turn) for turn in turns), {name: tuple(voice) for name, voice in voices.items()}


def read_chunk(reply: HTTPReply, chunk: Chunk, endpoint: Endpoint) -> DiarizedChunk:
    """The answer for one chunk, its times relative to the chunk.

    Read leniently: speakers as numbers or as text with one, turns as objects or as NeMo's lines
    (`0.080 1.520 speaker_0`), embeddings per speaker or per turn, or none. Raises UpstreamFailed when it is none.
    """
    try:
        data = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, RecursionError):
        raise endpoint.unreadable(reply, "it is not JSON") from None
    said = data.get("segments") if isinstance(data, dict) else data
    if not isinstance(said, list):
        raise endpoint.unreadable(reply, "it holds no segments")
    turns = sorted(_turns(said, chunk.seconds), key=lambda turn: (turn.start, turn.end))
    if said and not turns:
        raise endpoint.unreadable(reply, "it holds no segment that can be read")
    voices = _announced_voices(data) if isinstance(data, dict) else {}
    spoken = tuple(Turn(turn.start, turn.end, str(turn.speaker)) for turn in turns)
    return DiarizedChunk(chunk.start, chunk.seconds, spoken, voices or _voices_of_turns(turns))


def _turns(said: Sequence[Any], seconds: float) -> Iterator[_Turn]:
    """Turns that make sense, within the chunk. NeMo gives a list per file, of which there is one."""
    for item in said:
        if isinstance(item, list):
            yield from _turns(item[:10_000], seconds)
            continue
        if isinstance(item, str):
            item = dict(zip(("start", "end", "speaker"), item.split(), strict=False))
        try:
            turn = msgspec.convert(item, _Turn, strict=False)
        except (msgspec.ValidationError, RecursionError):
            continue
        if math.isfinite(turn.start) and math.isfinite(turn.end):
            start = min(max(turn.start, 0.0), seconds)
            end = min(max(turn.end, start), seconds)
            if end > start:
                yield _Turn(start, end, _speaker(turn.speaker), turn.embedding)


def _speaker(said: str | int) -> str:
    """`0`, `"0"`, `"speaker_0"` and `"SPEAKER_00"` are one."""
    text = str(said).strip()
    numbered = NUMBERED.match(text)
    return numbered.group(1) if numbered else text


def _announced_voices(data: Mapping[str, Any]) -> dict[str, Voice]:
    found: dict[str, Voice] = {}
    embeddings, speakers = data.get("embeddings"), data.get("speakers")
    pairs: list[tuple[Any, Any]] = list(embeddings.items()) if isinstance(embeddings, dict) else []
    if isinstance(speakers, list):
        pairs += [(item.get("speaker"), item.get("embedding")) for item in speakers if isinstance(item, dict)]
    for speaker, embedding in pairs:
        if isinstance(speaker, str | int) and (voice := _voice(embedding)):
            found[_speaker(speaker)] = voice
    return found


def _voices_of_turns(turns: Sequence[_Turn]) -> dict[str, Voice]:
    """The mean of each speaker's embeddings, weighted by length."""
    sums: dict[str, list[float]] = {}
    for turn in turns:
        voice = _voice(turn.embedding)
        total = sums.setdefault(str(turn.speaker), [0.0] * len(voice)) if voice else []
        if len(total) == len(voice):
            for n, value in enumerate(voice):
                total[n] += value * (turn.end - turn.start)
    return {speaker: tuple(total) for speaker, total in sums.items()}


def _voice(embedding: Any) -> Voice:
    """Empty for what is no embedding."""
    try:
        voice = msgspec.convert(embedding, tuple[float, ...])
    except msgspec.ValidationError:
        return ()
    return voice if all(map(math.isfinite, voice)) and any(voice) else ()
