"""Which jobs an account has, and how each of them stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from relay.books import holds, jobs, work
from relay.domain.jobs import SERVER_ID, Job, account_at, server_id
from relay.domain.work import Work
from relay.errors import BadRequest, NotFound
from relay.ports.storage import ReadTx, Storage
from relay.services.jobs.line import Line
from relay.services.jobs.running import RunningJob
from relay.services.jobs.view import hold_view, record_view, work_view
from relay.services.live import SettingsView
from relay.services.receipts import Receipts

MAX_LOOKED_AT = 2000
"""Records one page may look at: with a filter on the state most may not fit."""
BATCH = 100
CURSOR = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(job_[0-9a-f]{24})")


@dataclass(frozen=True, slots=True)
class Directory:
    """`running`: the jobs in the background that this process has in hand."""

    storage: Storage
    line: Line
    running: dict[str, RunningJob]
    receipts: Receipts
    settings: SettingsView
    clock: Callable[[], datetime]

    def find(self, account: str, name: str) -> str:
        """The server id of the account's job with this name, the caller's or the server's. Raises NotFound."""
        return self.storage.read(lambda tx: self._find(tx, account, name))

    def view(self, account: str, name: str, *, result: bool) -> dict[str, Any]:
        """The job with its receipt, and with its result if asked. Raises NotFound."""

        def read(tx: ReadTx) -> tuple[dict[str, Any], Work | None, Job | None]:
            job_id = self._find(tx, account, name)
            return self._view(tx, job_id), work.get(tx, job_id), jobs.get(tx, job_id)

        view, row, record = self.storage.read(read)
        self._add_live([view])
        view["receipt"] = None if record is None else self.receipts.of(view["server_job_id"], record)
        if row is not None and row.state == "completed":
            self._add_result(view, row, wanted=result)
        return view

    def page(
        self, account: str, *, limit: int, before: str | None, state: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Jobs without their results, newest first, and the `before` of the next page. Raises BadRequest."""
        cursor = None if before is None else parse_cursor(account, before)

        def read(tx: ReadTx) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
            found: list[tuple[str, dict[str, Any]]] = []
            newest = islice(self._newest(tx, account, cursor), MAX_LOOKED_AT)
            looked_at, last = 0, ""
            for at, job_id in newest:
                looked_at, last = looked_at + 1, cursor_of(at, job_id)
                view = self._view(tx, job_id)
                if state is None or view["state"] == state:
                    found.append((last, view))
                if len(found) == limit:
                    return found, True
            if looked_at == MAX_LOOKED_AT:
                found.append((last, {}))
            return found, looked_at == MAX_LOOKED_AT

        found, more = self.storage.read(read)
        views = [view for _, view in found if view]
        for view in views:
            del view["result"]
        self._add_live(views)
        return views, found[-1][0] if more else None

    def _find(self, tx: ReadTx, account: str, name: str) -> str:
        for job_id in [name, server_id(account, name)] if SERVER_ID.fullmatch(name) else [server_id(account, name)]:
            found = [work.get(tx, job_id), jobs.get(tx, job_id), holds.get(tx, job_id)]
            if any(job is not None and job.account == account for job in found):
                return job_id
        raise NotFound("you have no job with this id; records are kept for a limited time, see /relay/policy")

    def _view(self, tx: ReadTx, job_id: str) -> dict[str, Any]:
        row, record, hold = work.get(tx, job_id), jobs.get(tx, job_id), holds.get(tx, job_id)
        waits = hold is not None and not hold.follow_up
        if row is not None and (not row.ended or not waits):
            return work_view(job_id, row, record)
        if hold is not None and waits:
            return hold_view(hold)
        assert record is not None
        return record_view(job_id, record)

    def _newest(self, tx: ReadTx, account: str, cursor: tuple[str, str] | None) -> Iterator[tuple[str, str]]:
        """(`account_at`, server id) of all jobs of the account from the one behind the cursor, newest first."""
        unpaid = [hold for hold in holds.of_account(tx, account) if not hold.follow_up]
        open_jobs = {hold.job: account_at(account, hold.created_at) for hold in unpaid}
        waiting = sorted(((at, job) for job, at in open_jobs.items()), reverse=True)
        waiting = [entry for entry in waiting if cursor is None or entry < cursor]
        for entry in self._recorded(tx, account, cursor):
            while waiting and waiting[0] > entry:
                yield waiting.pop(0)
            if entry[1] not in open_jobs:
                yield entry
        yield from waiting

    def _recorded(self, tx: ReadTx, account: str, cursor: tuple[str, str] | None) -> Iterator[tuple[str, str]]:
        first, last = f"{account} ", cursor[0] if cursor else f"{account} ~"
        offset = 0
        while rows := tx.scan(jobs.COLL, "account_at", first, last, limit=BATCH, offset=offset, reverse=True):
            offset += len(rows)
            for key, doc in rows:
                entry = (str(doc["account_at"]), key)
                if cursor is None or entry < cursor:
                    yield entry

    def _add_live(self, views: list[dict[str, Any]]) -> None:
        """What changes too often to be stored."""
        positions: dict[str, int] | None = None
        for view in views:
            job = self.running.get(view["server_job_id"])
            if job is None or job.over or view["finished_at"] is not None:
                continue
            view["state"] = job.state
            view["progress"] = job.progress
            if job.state == "queued":
                positions = self.line.positions() if positions is None else positions
                view["position"] = positions.get(job.id)

    def _add_result(self, view: dict[str, Any], row: Work, *, wanted: bool) -> None:
        assert row.finished_at is not None
        kept = timedelta(days=self.settings.retention.outputs_days)
        expired = row.result is None or row.finished_at + kept <= self.clock()
        if expired:
            view["result_expired"] = True
        elif wanted and row.result is not None:
            try:
                with self.storage.open_blob(row.result) as file:
                    view["result"] = msgspec.Raw(file.read())
            except KeyError:
                # It was swept between the reading of the row and now.
                view["result_expired"] = True


def cursor_of(at: str, job_id: str) -> str:
    return f"{at.rpartition(' ')[2]}.{job_id}"


def parse_cursor(account: str, text: str) -> tuple[str, str]:
    match = CURSOR.fullmatch(text)
    if match is None:
        raise BadRequest("before must be the next of an earlier page", details={"path": "before"})
    return f"{account} {match[1]}", match[2]
