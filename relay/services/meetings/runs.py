"""Runs of a meeting: do a step again with other settings, compare two, go back to an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from difflib import SequenceMatcher
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
CARRIED = {"transcribe": ("plan", "words/"), "diarize": ("speakers-plan", "speakers/"), "analyze": ("analysis/",)}
"""The pieces of a step: what a run does not do again it takes over."""
BATCH = 200
AGAIN = 64


class Runs:
    def __init__(self, storage: Storage, directory: Directory, clock: Callable[[], datetime]) -> None:
        self._storage = storage
        self._directory = directory
        self._clock = clock

    def begin(
        self, meeting_id: str, version: int | None, steps: Sequence[Step] | None, options: Options | None, actor: str
    ) -> Meeting:
        """Have the worker do these steps (None: what is missing of a failed run, else all). Raises Conflict.

        A failed run goes on under its own id, with other options where they are given: its finished pieces stay.
        """
        row = self._directory.row(meeting_id)
        check_version(row, version)
        if row.state not in {"ready", "failed", "uploaded"}:
            raise Conflict(f"this meeting is {row.state}; wait for that, or cancel it", code="busy")
        goes_on = row.state == "failed" and steps is None
        again: tuple[Step, ...] = () if goes_on else tuple(steps or ("transcribe", "diarize", "analyze"))
        if "probe" in again:
            raise Invalid("steps are: transcribe, diarize, analyze", "steps")
        if not goes_on and row.runs >= MAX_RUNS:
            raise Conflict(f"a meeting has {MAX_RUNS} runs at most; delete it and upload the recording again")
        run = row.run if goes_on or not row.run else f"r{row.runs + 1}"
        if run != row.run:
            self._carry(meeting_id, row.run, run, [step for step in CARRIED if step not in again])

        def begin(tx: Tx) -> Meeting:
            now = self._directory.get(tx, meeting_id)
            check_version(now, row.version)
            now.options = now.options if options is None else options
            now.runs = now.runs if run == now.run else now.runs + 1
            now.run, now.state, now.error = run, "uploaded", None
            now.version, now.updated_at = now.version + 1, self._clock()
            meetings.put(tx, meeting_id, now)
            after = {"run": run, "steps": list(again), "options": msgspec.to_builtins(now.options)}
            audit.record(tx, actor, "meetings.run", meeting_id, after=after, now=self._clock())
            return now

        return self._storage.transact(begin)

    def _carry(self, meeting_id: str, old: str, new: str, steps: Sequence[str]) -> None:
        """Copy pieces, a batch at a time; a crash in between leaves copies that the next try writes again."""
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
        left, right = _tokens(a), _tokens(b)
        words = SequenceMatcher(None, [w for w, _ in left], [w for w, _ in right], autojunk=False)
        changes = [
            {
                "start": left[i][1] if i < len(left) else (left[-1][1] if left else 0.0),
                "a": " ".join(word for word, _ in left[i:j][:AGAIN]),
                "b": " ".join(word for word, _ in right[k:m][:AGAIN]),
            }
            for tag, i, j, k, m in words.get_opcodes()
            if tag != "equal"
        ]
        return {
            "a": one,
            "b": other,
            "same_words": round(words.ratio(), 4),
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
                meetings.put_text(tx, f"{meeting_id}.{present.run}", present)
                earlier = meetings.text(tx, f"{meeting_id}.{run}") or as_text(meeting_id, row, result)
                earlier.title = row.title
                meetings.put_text(tx, meeting_id, earlier)
            row.run, row.state, row.error, row.notes = run, "ready", None, result.notes
            row.version, row.updated_at = row.version + 1, self._clock()
            meetings.put(tx, meeting_id, row)
            audit.record(tx, actor, "meetings.use_run", meeting_id, after={"run": run}, now=self._clock())
            return row

        return self._storage.transact(use)

    def _result(self, meeting_id: str, run: str) -> Result:
        found = self._storage.read(lambda tx: meetings.result(tx, meeting_id, run))
        if found is None:
            raise NotFound(f"there is no result of run {run[:20]!r}")
        return found


def _tokens(result: Result) -> list[tuple[str, float]]:
    """Words with the second they begin, as far as that is known."""
    found: list[tuple[str, float]] = []
    for line in result.lines:
        tokens = line.text.split()
        timed = len(line.words) == len(tokens)
        found += [
            (token.casefold().strip(".,!?;:\"'"), line.words[n].start if timed else line.start)
            for n, token in enumerate(tokens)
        ]
    return found
