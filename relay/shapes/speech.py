"""Transcription of a recording of any length by a server that takes chunks of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from relay.errors import Invalid
from relay.ports.inference import CallContext, TranscribeRequest, Transcript
from relay.shapes.chunks import Chunk, Chunking, decoded, in_chunks
from relay.shapes.endpoint import Endpoint
from relay.shapes.languages import iso_639_1
from relay.shapes.seams import joined
from relay.shapes.transcripts import read_transcript
from relay.upstream import HTTPReply


def transcribe_in_chunks(
    endpoint: Endpoint,
    request: TranscribeRequest,
    fields: Sequence[tuple[str, str]],
    chunking: Chunking,
    ctx: CallContext,
    *,
    backend: str,
    model: str,
) -> Transcript:
    """Sends 16 kHz mono WAV with `fields`, in chunks where the recording is longer than one.

    `backend` names the scratch files and the finished chunks in `ctx.pieces`; `model` is told when the server
    names none. Raises Invalid (reason `no_speech`) when no chunk holds any text, and what `Endpoint` raises.
    """

    def send(_chunk: Chunk, wav: Path) -> HTTPReply:
        return endpoint.post_wav(fields, wav, ctx)

    def read(reply: HTTPReply, chunk: Chunk) -> Transcript:
        return read_transcript(reply, chunk.seconds, endpoint)

    with decoded(request.audio, ctx, backend) as audio:
        parts = in_chunks(audio, chunking, ctx, name=f"{backend} transcribe", send=send, read=read)
        seconds = audio.seconds
    found = [part for _, part in parts]
    segments = found[0].segments if len(found) == 1 else tuple(joined(parts))
    if not segments:
        raise Invalid("no speech was found in the recording", "file", reason="no_speech")
    text = found[0].text if len(found) == 1 else " ".join(segment.text for segment in segments)
    return Transcript(
        text=text,
        language=next((part.language for part in found if part.language), None) or iso_639_1(request.language),
        duration=seconds,
        segments=segments,
        model=next((part.model for part in found if part.model), model),
    )
