"""Internal meetings: rows of the list, the text people edit, the result of each run, and its finished pieces."""

from __future__ import annotations

import msgspec

from relay.domain.meetings import Meeting, Result, Text
from relay.ports.storage import ReadTx, Tx

ROWS = "meetings"
TEXTS = "internal-meetings"
RESULTS = "meeting-results"
PIECES = "meeting-pieces"
LAST = "\U0010ffff"
"""Sorts behind every character of a name."""
BATCH = 200


def get(tx: ReadTx, meeting_id: str) -> Meeting | None:
    return tx.get(ROWS, meeting_id, Meeting)


def put(tx: Tx, meeting_id: str, meeting: Meeting) -> None:
    tx.put(ROWS, meeting_id, meeting)


def page(tx: ReadTx, *, limit: int, before: str | None) -> list[tuple[str, Meeting]]:
    """Newest first; `before`: the id of the last one seen."""
    rows = tx.scan(ROWS, None, None, before, limit=limit + 1, reverse=True)
    return [(key, msgspec.convert(doc, Meeting)) for key, doc in rows if key != before][:limit]


def text(tx: ReadTx, meeting_id: str) -> Text | None:
    return tx.get(TEXTS, meeting_id, Text)


def put_text(tx: Tx, meeting_id: str, document: Text) -> None:
    tx.put(TEXTS, meeting_id, document)


def earlier_text(tx: ReadTx, meeting_id: str, run: str) -> Text | None:
    """The text of a run that is not shown now, with the edits it has."""
    return tx.get(TEXTS, f"{meeting_id}.{run}", Text)


def put_aside(tx: Tx, meeting_id: str, document: Text) -> None:
    tx.put(TEXTS, f"{meeting_id}.{document.run}", document)


def result(tx: ReadTx, meeting_id: str, run: str) -> Result | None:
    return tx.get(RESULTS, f"{meeting_id}/{run}", Result)


def put_result(tx: Tx, meeting_id: str, found: Result) -> None:
    tx.put(RESULTS, f"{meeting_id}/{found.run}", found)


def runs(tx: ReadTx, meeting_id: str, limit: int = 100) -> list[str]:
    """The runs that have a result, oldest first."""
    begin = f"{meeting_id}/"
    return [key.removeprefix(begin) for key, _ in tx.scan(RESULTS, None, begin, begin + LAST, limit=limit)]


def drop_pieces(tx: Tx, meeting_id: str, run: str) -> int:
    """Delete a batch of the pieces of one run; how many."""
    begin = f"{meeting_id}/{run}/"
    rows = tx.scan(PIECES, None, begin, begin + LAST, limit=BATCH)
    for key, _ in rows:
        tx.delete(PIECES, key)
    return len(rows)


def delete_some(tx: Tx, meeting_id: str) -> int:
    """Delete results, pieces, earlier texts, a batch at a time, then row and text; 0 when nothing is left."""
    gone = 0
    for coll, begin in ((PIECES, f"{meeting_id}/"), (RESULTS, f"{meeting_id}/"), (TEXTS, f"{meeting_id}.")):
        for key, _ in tx.scan(coll, None, begin, begin + LAST, limit=BATCH):
            tx.delete(coll, key)
            gone += 1
    if not gone and get(tx, meeting_id) is not None:
        tx.delete(ROWS, meeting_id)
        tx.delete(TEXTS, meeting_id)
        return 1
    return gone
