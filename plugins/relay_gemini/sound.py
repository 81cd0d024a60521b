"""What is sent of a recording: the file itself where that is safe, else WAV pieces cut in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.api import Audio, CallContext, DecodedAudio, cut_on_silence, decode, write_wav

MAX_SECONDS = 9.5 * 3600  # what Google documents for one prompt, taken as the longest recording
WAV_BYTES_PER_SECOND = 32_000
PCM = 1
MP3_FRAME = 0xE2  # the rest of the sync word, and layer III


@dataclass(frozen=True, slots=True)
class Recording:
    """`spans`: (start, end) in seconds of the pieces, which cover it all."""

    seconds: float
    spans: list[tuple[float, float]]
    decoded: DecodedAudio | None
    original: Path
    mime_type: str
    scratch: Path

    @contextmanager
    def piece(self, start: float, end: float) -> Iterator[tuple[Path, str]]:
        """A file with the seconds from `start` to `end`, and its type."""
        if self.decoded is None:
            yield self.original, self.mime_type
            return
        try:
            yield write_wav(self.decoded, self.scratch, start, end), "audio/wav"
        finally:
            self.scratch.unlink(missing_ok=True)


@contextmanager
def recording(audio: Audio, piece_seconds: float, inline_bytes: int, ctx: CallContext) -> Iterator[Recording]:
    """Ready to be sent in pieces of at most `piece_seconds`. Its scratch files are removed at the end.

    A file goes as it is when it is short enough, of a type Google is sure to read, and no longer to send than the
    WAV that would be made of it. Raises UnsupportedMedia for what is no recording, TooLarge for too long a one.
    """
    folder = audio.path.parent
    raw, scratch = folder / "gemini.s16", folder / "gemini.wav"
    length, size = audio.duration, audio.path.stat().st_size
    if length and length <= piece_seconds and size <= max(inline_bytes, length * WAV_BYTES_PER_SECOND):
        mime_type = sure_type(audio.path)
        if mime_type:
            yield Recording(length, [(0.0, length)], None, audio.path, mime_type, scratch)
            return
    try:
        decoded = decode(audio.path, raw, max_seconds=MAX_SECONDS, check=lambda _: _alive(ctx))
        yield Recording(
            decoded.seconds, cut_on_silence(decoded, piece_seconds), decoded, audio.path, "audio/wav", scratch
        )
    finally:
        raw.unlink(missing_ok=True)
        scratch.unlink(missing_ok=True)


def sure_type(path: Path) -> str | None:
    """The MIME type by the first bytes, None unless Google documents it and nothing odd can hide behind it."""
    with path.open("rb") as file:
        head = file.read(24)
        if head.startswith(b"fLaC"):
            return "audio/flac"
        if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and int.from_bytes(head[20:22], "little") == PCM:
            return "audio/wav"
        if head.startswith(b"ID3"):  # a tag; its length has seven bits to the byte
            length = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
            file.seek(10 + length)
            head = file.read(2)
    return "audio/mp3" if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == MP3_FRAME else None


def _alive(ctx: CallContext) -> None:
    ctx.remaining()
