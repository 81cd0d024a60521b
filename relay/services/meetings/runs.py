"""Runs of a meeting: do a step again with other settings, compare two, go back to an earlier one."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from operator import itemgetter
from typing import Any

import msgspec

from relay.books import audit, meetings
from relay.books.meetings import LAST, PIECES
from relay.domain.instants import iso
from relay.domain.meeting_edits import as_text
from relay.domain.meetings import Meeting, Options, Result, Step
from relay.errors import Conflict, Invalid, NotFound
from relay.ports.storage import Storage, Tx
from relay.services.meetings.directory import Directory, check_version

MAX_RUNS = 20
CARRIED: dict[Step, tuple[str, ...]] = {"transcribe": ("plan", "words/"), "diarize": ("speakers-plan", "speakers/")}
"""The pieces of a step: what a run does not do again it takes over. The analysis is always written again, because it
stands on lines that any other step may change."""
COMPARED_SECONDS = 120.0
"""Two runs are compared in stretches of this length: the whole at once would take minutes."""
BATCH = 200
MOST_WORDS = 64
"""Of one difference."""
Token = tuple[str, float]
"""A word without its punctuation, and the second it begins."""


class Runs:
    def __init__(self, storage: Storage, directory: Directory, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._directory = directory
        self._clock = clock
        self._beginning = threading.Lock()

    def begin(
        self, meeting_id: str, version: int | None, steps: Sequence[Step] | None, options: Options | None, actor: str
    ) -> Meeting:
        """Have the worker do these steps (None: what is missing of a failed run, else all). Raises Conflict.

        A failed run goes on under its own id, with other options where they are given: its finished pieces stay.
        "analyze" alone is done of the text as people have edited it.
        """
        with self._beginning:
            return self._begin(meeting_id, version, steps, options, actor)

    def _begin(
        self, meeting_id: str, version: int | None, steps: Sequence[Step] | None, options: Options | None, actor: str
    ) -> Meeting:
        row, text = self._storage.read(lambda tx: (self._directory.get(tx, meeting_id), meetings.text(tx, meeting_id)))
        check_version(row, version)
        _check_free(row)
        goes_on = row.state == "failed" and steps is None
        again: tuple[Step, ...] = () if goes_on else tuple(steps or ("transcribe", "diarize", "analyze"))
        if "probe" in again:
            raise Invalid("steps are: transcribe, diarize, analyze", "steps")
        if not goes_on and row.runs >= MAX_RUNS:
            raise Conflict(f"a meeting has {MAX_RUNS} runs at most; delete it and upload the recording again")
        run = row.run if goes_on or not row.run else f"r{row.runs + 1}"
        only: list[Step] = ["analyze"] if set(again) == {"analyze"} and text is not None else []
        if run != row.run:
            source = text.run if only and text is not None else row.run
            while self._storage.transact(lambda tx: meetings.drop_pieces(tx, meeting_id, run)):
                pass  # copies of a try that came to nothing, which may have taken over other steps
            self._carry(meeting_id, source, run, [step for step in CARRIED if step not in again])

        def begin(tx: Tx) -> Meeting:
            now = self._directory.get(tx, meeting_id)
            check_version(now, row.version)
            _check_free(now)  # the worker may have begun meanwhile, which is no other version
            now.options = now.options if options is None else options
            now.runs = now.runs if run == now.run else now.runs + 1
            now.run, now.state, now.error = run, "uploaded", None
            now.steps = now.steps if goes_on else only
            now.version, now.updated_at = now.version + 1, self._clock()
            meetings.put(tx, meeting_id, now)
            after = {"run": run, "steps": list(again), "options": msgspec.to_builtins(now.options)}
            audit.record(tx, actor, "meetings.run", meeting_id, after=after)
            return now

        return self._storage.transact(begin)

    def _carry(self, meeting_id: str, old: str, new: str, steps: Sequence[Step]) -> None:
        """Copy pieces, a batch at a time; a crash in between leaves copies that the next try drops."""
        for prefix in [prefix for step in steps for prefix in CARRIED[step]]:
            begin, after = f"{meeting_id}/{old}/{prefix}", ""

            def some(tx: Tx, begin: str = begin, after: str = after) -> str:
                rows = tx.scan(PIECES, None, after or begin, begin + LAST, limit=BATCH)
                for key, doc in rows:
                    tx.put(PIECES, key.replace(f"/{old}/", f"/{new}/", 1), doc)
                return rows[-1][0] + "\0" if len(rows) == BATCH else ""

            while after := self._storage.transact(lambda tx, after=after: some(tx, after=after)):  # type: ignore[misc]
                pass

    def view(self, meeting_id: str) -> list[dict[str, Any]]:
        """Runs that have a result, oldest first."""
        row = self._directory.row(meeting_id)
        names = self._storage.read(lambda tx: meetings.runs(tx, meeting_id))
        found = [self._result(meeting_id, name) for name in names]
        return [
            {
                "run": result.run,
                "at": iso(result.at),
                "current": result.run == row.run,
                "options": msgspec.to_builtins(result.options),
                "models": result.models,
                "speakers": len(result.speakers),
                "lines": len(result.lines),
                "notes": result.notes,
                "timings": result.timings,
            }
            for result in sorted(found, key=lambda result: result.at)
        ]

    def compare(self, meeting_id: str, one: str, other: str) -> dict[str, Any]:
        """Where two runs differ: stretches of words, and seconds given to other people. Raises NotFound."""
        self._directory.row(meeting_id)
        a, b = self._result(meeting_id, one), self._result(meeting_id, other)
        same, changes = _differences(_tokens(a), _tokens(b))
        return {
            "a": one,
            "b": other,
            "same_words": round(same, 4),
            "changes": changes[:1000],
            "changes_count": len(changes),
            "speakers": {"a": len(a.speakers), "b": len(b.speakers)},
            "seconds": {
                "a": {speaker.id: speaker.seconds for speaker in a.speakers},
                "b": {speaker.id: speaker.seconds for speaker in b.speakers},
            },
        }

    def use(self, meeting_id: str, run: str, version: int, actor: str) -> Meeting:
        """Show an earlier run again, with the edits it had. Raises NotFound, Conflict."""
        result = self._result(meeting_id, run)

        def use(tx: Tx) -> Meeting:
            row = self._directory.get(tx, meeting_id)
            check_version(row, version)
            if row.state not in {"ready", "failed"}:
                raise Conflict(f"this meeting is {row.state}; wait for that, or cancel it", code="busy")
            present = meetings.text(tx, meeting_id)
            if present is not None and present.run != run:
                meetings.put_aside(tx, meeting_id, present)
                earlier = meetings.earlier_text(tx, meeting_id, run) or as_text(meeting_id, row, result)
                earlier.title = row.title
                meetings.put_text(tx, meeting_id, earlier)
                row.speakers = len(earlier.speakers)
            row.run, row.state, row.error, row.notes, row.steps = run, "ready", None, result.notes, []
            row.version, row.updated_at = row.version + 1, self._clock()
            meetings.put(tx, meeting_id, row)
            audit.record(tx, actor, "meetings.use_run", meeting_id, after={"run": run})
            return row

        return self._storage.transact(use)

    def _result(self, meeting_id: str, run: str) -> Result:
        found = self._storage.read(lambda tx: meetings.result(tx, meeting_id, run))
        if found is None:
            raise NotFound(f"there is no result of run {run[:20]!r}")
        return found


def _check_free(row: Meeting) -> None:
    """Raises Conflict while the worker is at it, or the recording is not there."""
    if row.state not in {"ready", "failed", "uploaded"}:
        raise Conflict(f"this meeting is {row.state}; wait for that, or cancel it", code="busy")


def _differences(left: Sequence[Token], right: Sequence[Token]) -> tuple[float, list[dict[str, Any]]]:
    """The share of words that both have, and where they differ."""
    changes: list[dict[str, Any]] = []
    same = 0
    begin = end = 0.0
    last = max((start for _, start in (*left[-1:], *right[-1:])), default=0.0)
    i = k = 0
    while begin <= last:
        end = begin + COMPARED_SECONDS
        j, m = bisect_left(left, end, i, key=itemgetter(1)), bisect_left(right, end, k, key=itemgetter(1))
        a, b = left[i:j], right[k:m]
        for tag, a1, a2, b1, b2 in SequenceMatcher(None, _texts(a), _texts(b), autojunk=False).get_opcodes():
            if tag == "equal":
                same += a2 - a1
                continue
            at = next((start for _, start in (*a[a1 : a1 + 1], *b[b1 : b1 + 1])), begin)
            changes.append({"start": at, "a": _told(a[a1:a2]), "b": _told(b[b1:b2])})
        begin, i, k = end, j, m
    return (2 * same / (len(left) + len(right)) if left or right else 1.0), changes


def _texts(tokens: Sequence[Token]) -> list[str]:
    return [text for text, _ in tokens]


def _told(tokens: Sequence[Token]) -> str:
    return " ".join(_texts(tokens[:MOST_WORDS]))


def _tokens(result: Result) -> list[Token]:
    """Words with the second they begin, as far as that is known; in the order of those."""
    found: list[Token] = []
    for line in result.lines:
        tokens = line.text.split()
        timed = len(line.words) == len(tokens)
        found += [
            (token.casefold().strip(".,!?;:\"'"), line.words[n].start if timed else line.start)
            for n, token in enumerate(tokens)
        ]
    return sorted(found, key=itemgetter(1))
