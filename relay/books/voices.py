"""Voices that have a name: kept only for people who were put there, and gone when somebody takes them out."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from relay.ports.storage import ReadTx, Tx

COLL = "voices"
MAX_VOICES = 500


class Sample(Struct):
    """One embedding of the voice, made by `model`, from so many `seconds` of a meeting."""

    vector: list[float]
    model: str
    meeting: str
    seconds: float
    at: datetime


class Voice(Struct):
    name: str
    samples: list[Sample]
    created_at: datetime


def get(tx: ReadTx, voice_id: str) -> Voice | None:
    return tx.get(COLL, voice_id, Voice)


def put(tx: Tx, voice_id: str, voice: Voice) -> None:
    tx.put(COLL, voice_id, voice)


def delete(tx: Tx, voice_id: str) -> None:
    tx.delete(COLL, voice_id)


def every(tx: ReadTx) -> list[tuple[str, Voice]]:
    return [(key, msgspec.convert(doc, Voice)) for key, doc in tx.scan(COLL, limit=MAX_VOICES)]


def count(tx: ReadTx) -> int:
    return tx.count(COLL)
