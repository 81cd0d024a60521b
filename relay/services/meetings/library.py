"""The voice library: whose voice is whose, from one meeting to the next. Nobody is in it who was not put there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from relay.books import audit, meetings, voices
from relay.books.voices import MAX_VOICES, Sample, Voice
from relay.domain.instants import iso
from relay.domain.meetings import Result
from relay.domain.vectors import cosine, unit
from relay.errors import Conflict, Invalid, NotFound
from relay.ports.storage import Storage, Tx
from relay.services.meetings.directory import Directory

LEAST = 0.5
"""Cosine below which two voices are not taken for one. Between two meetings, lines and rooms differ."""
SURE = 0.85
"""From here on there is no doubt left; the confidence rises from 0 at LEAST to 1 here."""
MARGIN = 0.05
"""By so much the best name must be better than the next: voices on one telephone line are alike."""
MAX_SAMPLES = 20
ENOUGH_SECONDS = 3.0


class Library:
    def __init__(self, storage: Storage, directory: Directory, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._directory = directory
        self._clock = clock

    def view(self) -> list[dict[str, Any]]:
        """By name; never the embeddings."""
        found = self._storage.read(voices.every)
        return [
            {
                "id": key,
                "name": voice.name,
                "samples": len(voice.samples),
                "seconds": round(sum(sample.seconds for sample in voice.samples), 1),
                "meetings": sorted({sample.meeting for sample in voice.samples}),
                "created_at": iso(voice.created_at),
            }
            for key, voice in sorted(found, key=lambda pair: pair[1].name.casefold())
        ]

    def remember(self, meeting_id: str, speaker_id: str, actor: str) -> dict[str, Any]:
        """Put the voice of a named speaker into the library. Raises NotFound, Conflict with nothing to keep."""

        def remember(tx: Tx) -> str:
            self._directory.get(tx, meeting_id)
            text = meetings.text(tx, meeting_id)
            result = None if text is None else meetings.result(tx, meeting_id, text.run)
            speaker = None if text is None else next((one for one in text.speakers if one.id == speaker_id), None)
            if speaker is None or result is None:
                raise NotFound(f"there is no speaker {speaker_id[:20]} in this meeting")
            vector = result.voices.get(speaker_id)
            if vector is None:
                raise Conflict("the backend gave no voice for this speaker, so there is nothing to remember")
            if not speaker.name:
                raise Conflict("give this speaker a name first", code="no_name")
            if speaker.seconds < ENOUGH_SECONDS:
                raise Conflict(f"{speaker.seconds:g} s of speech are too little to know a voice by")
            key = voice_id(speaker.name)
            voice = voices.get(tx, key)
            if voice is None and voices.count(tx) >= MAX_VOICES:
                raise Conflict(f"the library holds {MAX_VOICES} voices; take one out first")
            voice = voice or Voice(speaker.name, [], self._clock())
            kept = [
                sample for sample in voice.samples if (sample.meeting, sample.model) != (meeting_id, result.voice_model)
            ]
            made = Sample(vector, result.voice_model, meeting_id, speaker.seconds, self._clock())
            voice.samples = [*kept, made][-MAX_SAMPLES:]
            voices.put(tx, key, voice)
            audit.record(tx, actor, "meetings.voice_kept", voice.name, after={"meeting": meeting_id})
            return key

        key = self._storage.transact(remember)
        return next(row for row in self.view() if row["id"] == key)

    def rename(self, voice: str, name: str, actor: str) -> tuple[dict[str, Any], str]:
        """Call a voice by another name; its row, which has another id, and the name before. Raises NotFound, Invalid
        for no name, Conflict (`name_taken`)."""
        called = " ".join(name.split())
        if not called:
            raise Invalid("a voice needs a name", "name")
        key = voice_id(called)

        def rename(tx: Tx) -> str:
            found = voices.get(tx, voice)
            if found is None:
                raise NotFound(f"there is no voice {voice[:64]!r} in the library")
            if key != voice and voices.get(tx, key) is not None:
                raise Conflict(f"there is another voice called {called}; delete one of the two", code="name_taken")
            before, found.name = found.name, called
            voices.delete(tx, voice)
            voices.put(tx, key, found)
            old, new = {"name": before}, {"name": called}
            audit.record(tx, actor, "meetings.voice_renamed", called, before=old, after=new)
            return before

        before = self._storage.transact(rename)
        return next(row for row in self.view() if row["id"] == key), before

    def forget(self, voice: str, actor: str) -> None:
        """Take a voice out, with all its embeddings. Raises NotFound."""

        def forget(tx: Tx) -> None:
            found = voices.get(tx, voice)
            if found is None:
                raise NotFound(f"there is no voice {voice[:64]!r} in the library")
            voices.delete(tx, voice)
            audit.record(tx, actor, "meetings.voice_deleted", found.name)

        self._storage.transact(forget)

    def forget_meeting(self, tx: Tx, meeting_id: str) -> None:
        """Take out what a meeting gave: deleting it really deletes."""
        for key, voice in voices.every(tx):
            kept = [sample for sample in voice.samples if sample.meeting != meeting_id]
            if len(kept) == len(voice.samples):
                continue
            voice.samples = kept
            if kept:
                voices.put(tx, key, voice)
            else:
                voices.delete(tx, key)

    def suggest(self, result: Result) -> None:
        """Fill in names that the library suggests, each at most once, with a confidence."""
        known = _known(self._storage.read(voices.every), result.voice_model)
        by_id, taken = {speaker.id: speaker for speaker in result.speakers}, set[str]()
        vectors = {speaker_id: unit(result.voices.get(speaker_id, ())) for speaker_id in by_id}
        scores = sorted(
            (
                (cosine(vector, voice), speaker_id, name)
                for speaker_id, vector in vectors.items()
                if vector is not None
                for name, voice in known.items()
                if len(voice) == len(vector)
            ),
            reverse=True,
        )
        for score, speaker_id, name in scores:
            speaker = by_id[speaker_id]
            if score < LEAST or speaker.suggestion or name in taken:
                continue
            rivals = [other for other, who, called in scores if who == speaker_id and called != name]
            if rivals and score - max(rivals) < MARGIN:
                continue
            taken.add(name)
            speaker.suggestion = name
            speaker.confidence = round(min(1.0, (score - LEAST) / (SURE - LEAST)), 2)


def _known(every: Sequence[tuple[str, Voice]], model: str) -> Mapping[str, Any]:
    """The mean voice of each name, of samples of this very model: others cannot be compared."""
    found: dict[str, Any] = {}
    for _, voice in every:
        samples = [sample for sample in voice.samples if sample.model == model]
        lengths = {len(sample.vector) for sample in samples}
        if len(lengths) != 1:
            continue
        mean = [sum(s.vector[n] * s.seconds for s in samples) for n in range(lengths.pop())]
        if (vector := unit(mean)) is not None:
            found[voice.name] = vector
    return found


def voice_id(name: str) -> str:
    """One voice per name, whatever its letter case."""
    return hashlib.sha256(" ".join(name.split()).casefold().encode()).hexdigest()[:16]
