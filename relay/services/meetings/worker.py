"""The thread that works on meetings, one at a time: they are long, and paying callers use the same hardware."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from relay import audio
from relay.books import audit, meetings
from relay.crash import crash_point
from relay.domain.meeting_edits import Reword, as_text, replayed
from relay.domain.meetings import Meeting, Result, Text
from relay.errors import Conflict, Internal, NotFound, RelayError
from relay.ports.inference import CallContext
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.infer import Infer
from relay.services.meetings.analysis import Analyser
from relay.services.meetings.listening import PAUSES
from relay.services.meetings.run import Progress, Run
from relay.services.meetings.uploads import Uploads
from relay.shapes.chunks import Chunking

log = structlog.get_logger("relay.meetings")
MAX_RUN_SECONDS = 7 * 24 * 3600.0
POLL_SECONDS = 0.05
FULL_PAUSE_SECONDS = 60.0
"""Before a run is begun again that the storage stopped."""
WORK = frozenset({"uploaded", "processing"})
"""States of a meeting that waits for the worker, or has it."""
CANCELLED = {"code": "cancelled", "message": "somebody ended this run; run it again to go on where it was"}
REWORD = Reword.__struct_config__.tag


@dataclass
class Current:
    """What the thread is at. `cancelled`: who ended it; "" leaves the run of a relay that stops to its next start."""

    meeting_id: str
    ctx: CallContext
    run: Run | None = None
    cancelled: str = ""


@dataclass
class Worker:
    storage: Storage
    infer: Infer
    uploads: Uploads
    analyse: Analyser
    scratch: Path
    clock: Callable[[], datetime]
    chunking: Callable[[], Chunking]
    suggest: Callable[[Result], None]
    """Fills in names for speakers whose voices are known."""
    pauses: tuple[float, ...] = PAUSES
    current: Current | None = None
    _wake: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="meetings", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        if (current := self.current) is not None:
            current.ctx.cancel()
        if self._thread is not None:
            self._thread.join(timeout=20)

    def wake(self, _meeting_id: str = "") -> None:
        self._wake.set()

    def progress(self, meeting_id: str) -> Progress | None:
        current = self.current
        return current.run.progress if current and current.run and current.meeting_id == meeting_id else None

    def cancel(self, meeting_id: str, actor: str) -> None:
        """End its run, or one that waits; finished pieces stay. Raises NotFound, and Conflict when there is no run."""
        interrupted = self.interrupt(meeting_id, actor)

        def cancel(tx: Tx) -> None:
            row = self._get(tx, meeting_id)
            if row.state not in WORK:
                raise Conflict("nothing is done with this meeting now", code="not_running")
            if not interrupted or row.state == "uploaded":  # else the thread says it, when it has ended
                row.state, row.error = "failed", dict(CANCELLED)
                row.version, row.updated_at = row.version + 1, self.clock()
                meetings.put(tx, meeting_id, row)
                audit.record(tx, actor, "meetings.cancel", meeting_id)

        self.storage.transact(cancel)

    def interrupt(self, meeting_id: str, actor: str) -> bool:
        """End what the thread does with this meeting; whether it does anything with it."""
        current = self.current
        if current is None or current.meeting_id != meeting_id:
            return False
        current.cancelled = actor
        current.ctx.cancel()
        return True

    def ended(self, meeting_id: str, seconds: float) -> bool:
        """Wait until nothing is done with the meeting any more; whether that came to be in time."""
        deadline = time.monotonic() + seconds
        while (current := self.current) is not None and current.meeting_id == meeting_id:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                waiting = self._next()
                if waiting is None:
                    self._wake.wait()
                    continue
                self._one(waiting)
            except Exception:
                log.exception("meeting_worker_failed")
                self._stop.wait(FULL_PAUSE_SECONDS)

    def _next(self) -> str | None:
        """The oldest meeting that has work left."""

        def look(before: str | None) -> tuple[str | None, str | None]:
            rows = self.storage.read(lambda tx: meetings.page(tx, limit=200, before=before))
            open_ = [key for key, row in rows if row.state in WORK]
            return (open_[-1] if open_ else None), (rows[-1][0] if len(rows) == 200 else None)

        found, following = look(None)
        while following is not None:
            older, following = look(following)
            found = older or found
        return found

    def _one(self, meeting_id: str) -> None:
        ctx = CallContext(deadline=time.monotonic() + MAX_RUN_SECONDS)
        self.current = current = Current(meeting_id, ctx)
        if self._stop.is_set():
            return
        try:
            row = self._begun(meeting_id)
            current.run = Run(
                self.storage,
                self.infer,
                self.analyse,
                meeting_id,
                row,
                self.scratch / meeting_id,
                ctx,
                self.clock(),
                self.chunking(),
                self.pauses,
            )
            shown, base = self._only_analyzed(meeting_id, row)
            result = current.run.do() if shown is None or base is None else current.run.again(shown, base)
            crash_point("meetings.run-done")
            self._end(meeting_id, result, shown)
        except RelayError as exc:
            self._failed(current, exc)
        except Exception:
            # A defect of ours, or of a library: it must not stand in the way of the other meetings.
            log.exception("meeting_failed", meeting=meeting_id)
            self._failed(current, Internal("something went wrong inside this relay; its log has the details"))
        finally:
            self.current = None

    def _begun(self, meeting_id: str) -> Meeting:
        """The recording in the storage, its length known, and the row saying that it is worked on."""
        row = self._row(meeting_id)
        audio_ref, duration = row.audio, row.duration
        if audio_ref is None:
            duration = audio.probe(self.uploads.path(meeting_id))
            with self.uploads.opened(meeting_id) as file:
                audio_ref = self.storage.put_blob(file)
            crash_point("meetings.audio-stored")

        def begin(tx: Tx) -> Meeting:
            row = self._get(tx, meeting_id)
            if row.state not in WORK:
                raise Conflict(CANCELLED["message"], code=CANCELLED["code"])
            row.audio, row.duration = audio_ref, duration
            if not row.run:
                row.run, row.runs = "r1", 1
            row.state, row.error = "processing", None
            meetings.put(tx, meeting_id, row)
            return row

        try:
            row = self.storage.transact(begin)
        except (Conflict, NotFound):
            if row.audio is None and audio_ref is not None:
                self.storage.delete_blob(audio_ref)  # no row names it
            raise
        self.uploads.drop(meeting_id)
        return row

    def _only_analyzed(self, meeting_id: str, row: Meeting) -> tuple[Text | None, Result | None]:
        """For a run of the analysis alone: the text as people have edited it, and the result it began as."""
        if row.steps != ["analyze"]:
            return None, None

        def look(tx: ReadTx) -> tuple[Text | None, Result | None]:
            text = meetings.text(tx, meeting_id)
            return text, None if text is None else meetings.result(tx, meeting_id, text.run)

        return self.storage.read(look)

    def _end(self, meeting_id: str, result: Result, shown: Text | None) -> None:
        """`shown`: the text whose edits stay, all but those of the analysis that is now another."""
        if shown is None:
            self.suggest(result)
        text = as_text(meeting_id, self._row(meeting_id), result)
        if shown is not None:
            replayed(text, [edit for edit in shown.edits if edit["edit"]["op"] != REWORD])

        def end(tx: Tx) -> None:
            row = self._get(tx, meeting_id)
            text.title = row.title
            before = meetings.text(tx, meeting_id)
            if before is not None and before.run != result.run:
                meetings.put_aside(tx, meeting_id, before)
            meetings.put_result(tx, meeting_id, result)
            meetings.put_text(tx, meeting_id, text)
            row.state, row.error, row.steps = "ready", None, []
            row.duration, row.speakers, row.notes = result.duration, len(text.speakers), result.notes
            row.version, row.updated_at = row.version + 1, self.clock()
            meetings.put(tx, meeting_id, row)
            audit.record(tx, "relay", "meetings.ready", meeting_id, after={"run": result.run})

        self.storage.transact(end)
        log.info("meeting_ready", meeting=meeting_id, run=result.run, seconds=result.duration)

    def _failed(self, current: Current, exc: RelayError) -> None:
        """The relay's own stop changes nothing: the next start goes on. Everything else is told."""
        if self._stop.is_set() and not current.cancelled:
            return
        code, message = exc.code, exc.message
        if current.cancelled:
            code, message = CANCELLED["code"], CANCELLED["message"]

        def failed(tx: Tx) -> None:
            row = meetings.get(tx, current.meeting_id)
            if row is not None and row.state in WORK:
                row.state, row.error = "failed", {"code": code, "message": message[:500]}
                row.version, row.updated_at = row.version + 1, self.clock()
                meetings.put(tx, current.meeting_id, row)
                if current.cancelled:
                    audit.record(tx, current.cancelled, "meetings.cancel", current.meeting_id)

        log.warning("meeting_failed", meeting=current.meeting_id, code=code, error=message)
        try:
            self.storage.transact(failed)
        except RelayError:
            self._stop.wait(FULL_PAUSE_SECONDS)

    def _row(self, meeting_id: str) -> Meeting:
        return self.storage.read(lambda tx: self._get(tx, meeting_id))

    def _get(self, tx: ReadTx, meeting_id: str) -> Meeting:
        row = meetings.get(tx, meeting_id)
        if row is None:
            raise NotFound("the meeting was deleted")
        return row
