"""Transcribe and diarize: a recording in pieces, each heard once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from relay.api import (
    Audio,
    CallContext,
    Diarization,
    Invalid,
    Segment,
    TranscribeRequest,
    Transcript,
    Turn,
    Unsupported,
    UpstreamFailed,
)
from relay_gemini.answers import Ending
from relay_gemini.files import uploaded
from relay_gemini.heard import SCHEMA, Heard, from_json, from_parts, moved
from relay_gemini.settings import Settings
from relay_gemini.sound import Recording, recording

if TYPE_CHECKING:
    from relay_gemini.client import Client

INSTRUCTION = (
    "Write down word for word what is said in this recording, in the language spoken. Make a segment of each sentence, "
    "with the seconds at which it starts and ends. Add nothing, translate nothing, and leave out nothing. "
    "If nobody speaks, give no segments."
)
CUT_TRANSCRIPT = (
    "Gemini's transcript was cut at the model's limit of output tokens; send a shorter recording, "
    "or ask the operator to lower {setting}"
)
MEGABYTE = 1_000_000
_heard = msgspec.json.Decoder(Heard)


def is_speech_model(model: str) -> bool:
    """Google's models for this one purpose take no prompt, and answer in parts of their own kind."""
    return "transcribe" in model


class Ears:
    """One call on one recording. `settings` say how it is cut and sent."""

    def __init__(self, client: Client, settings: Settings, model: str, ctx: CallContext) -> None:
        self._client = client
        self._model = model
        self._ctx = ctx
        self._speech = is_speech_model(model)
        self._thinking = settings.thinking
        self._inline_bytes = round(settings.inline_mb * MEGABYTE)
        self._piece_seconds = 60 * (settings.transcribe_piece_minutes if self._speech else settings.piece_minutes)

    def transcribe(self, request: TranscribeRequest) -> Transcript:
        """Raises Invalid (reason `no_speech`) when nobody speaks."""
        segments: list[Segment] = []
        language, model = None, self._model
        with recording(request.audio, self._piece_seconds, self._inline_bytes, self._ctx) as sound:
            for number, (start, end) in enumerate(sound.spans):
                heard = self._hear_once(sound, start, end, request.language, request.prompt)
                segments += moved(heard.segments, start, sound.seconds)
                language, model = language or heard.language, heard.model
                self._ctx.progress((number + 1) / len(sound.spans))
        if not segments:
            raise _nobody()
        return Transcript(
            text=" ".join(segment.text for segment in segments),
            language=language or request.language,
            duration=sound.seconds,
            segments=tuple(_named(segments, keep=len(sound.spans) == 1)),
            model=model,
        )

    def diarize(self, audio: Audio) -> Diarization:
        """Only what fits into one piece: Gemini does not know a voice of one piece again in the next."""
        with recording(audio, self._piece_seconds, self._inline_bytes, self._ctx) as sound:
            if len(sound.spans) > 1:
                raise Unsupported(
                    f"Gemini tells speakers apart only in recordings of up to {self._piece_seconds / 60:g} minutes"
                )
            heard = self._hear_once(sound, 0.0, sound.seconds, None, None)
        if not heard.segments:
            raise _nobody()
        if not heard.timed or not all(segment.speaker for segment in heard.segments):
            raise UpstreamFailed("Gemini did not say who speaks when in this recording")
        turns: list[Turn] = []
        for segment in _named(heard.segments, keep=True):
            assert segment.speaker is not None
            if turns and turns[-1].speaker == segment.speaker:
                turns[-1] = Turn(turns[-1].start, max(segment.end, turns[-1].end), segment.speaker)
            else:
                turns.append(Turn(segment.start, segment.end, segment.speaker))
        return Diarization(tuple(turns), sound.seconds, heard.model)

    def _hear_once(self, sound: Recording, start: float, end: float, language: str | None, prompt: str | None) -> Heard:
        """From a run of this job that was interrupted, else from Gemini."""
        name = f"gemini.{self._model}.{start:.3f}-{end:.3f}"
        kept = self._ctx.pieces.get(name)
        if kept is not None:
            return _heard.decode(kept)
        with sound.piece(start, end) as (path, mime_type):
            if path.stat().st_size <= self._inline_bytes:
                part: dict[str, Any] = {"inline_data": {"data": path.read_bytes(), "mime_type": mime_type}}
                heard = self._hear(part, end - start, language, prompt)
            else:
                with uploaded(self._client, path, mime_type, self._ctx) as part:
                    heard = self._hear(part, end - start, language, prompt)
        self._ctx.pieces[name] = msgspec.json.encode(heard)
        return heard

    def _hear(self, sound: dict[str, Any], seconds: float, language: str | None, prompt: str | None) -> Heard:
        parts = [sound]
        config: dict[str, Any]
        if self._speech:
            wishes: dict[str, Any] = {"word_timestamp": True, "diarization": True}
            if language:
                wishes["language_codes"] = [language]
            config = {"audio_transcription_config": wishes}
        else:
            said = [INSTRUCTION, f"The language is {language}." if language else "", prompt or ""]
            parts.append({"text": "\n".join(line for line in said if line)})
            config = {"temperature": 0.0, "response_mime_type": "application/json", "response_json_schema": SCHEMA}
            if self._thinking:
                config["thinking_config"] = {"thinking_level": self._thinking.upper()}
        ending = Ending(self._model)
        answer = []
        with closing(self._client.stream(self._model, [{"role": "user", "parts": parts}], config, self._ctx)) as chunks:
            for chunk in chunks:
                answer += ending.read(chunk)
        ending.check(CUT_TRANSCRIPT.format(setting="transcribe_piece_minutes" if self._speech else "piece_minutes"))
        if self._speech:
            return from_parts(answer, seconds, ending.model)
        text = "".join(part.text or "" for part in answer if not part.thought)
        return from_json(text, seconds, ending.model)


def _named(segments: Sequence[Segment], *, keep: bool) -> list[Segment]:
    """Speakers as S1, S2, … by first appearance; without `keep` nobody's name, for labels mean one piece only."""
    names: dict[str, str] = {}
    named = []
    for segment in segments:
        label = segment.speaker if keep else None
        speaker = names.setdefault(label, f"S{len(names) + 1}") if label else None
        named.append(replace(segment, speaker=speaker))
    return named


def _nobody() -> Invalid:
    return Invalid("no speech was found in the recording", "file", reason="no_speech")
