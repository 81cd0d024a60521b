"""The audit log as it is read, and how long it is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from relay.books import audit as book
from relay.domain.instants import iso, utcnow
from relay.ports.storage import ReadTx, Storage
from relay.services.live import SettingsView

BATCH = 200
LOOKED_THROUGH = 20_000


class AuditLog:
    def __init__(self, storage: Storage, settings: SettingsView, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._settings = settings
        self._clock = clock

    def page(self, *, limit: int, before: str | None, search: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Newest first; `before`: the id of the last one seen. `search`: a part of time, actor, action or target.

        The second value is the `before` of the next page, None at the end. A search looks through LOOKED_THROUGH
        lines at a time, so that a long log holds nobody up: its pages may be short, even empty, before the end.
        """

        def read(tx: ReadTx) -> tuple[list[tuple[str, book.Change]], str | None]:
            oldest = book.further_back(tx, before, LOOKED_THROUGH) if search else None
            return book.page(tx, limit=limit + 1, before=before, search=search, oldest=oldest), oldest

        rows, oldest = self._storage.read(read)
        following = rows[limit - 1][0] if len(rows) > limit else oldest
        return [_view(*row) for row in rows[:limit]], following

    def prune(self) -> None:
        until = self._clock() - timedelta(days=self._settings.retention.audit_days)
        while self._storage.transact(lambda tx: book.prune(tx, until, BATCH)):
            pass


def _view(key: str, change: book.Change) -> dict[str, Any]:
    return {
        "id": key,
        "at": iso(change.at),
        "actor": change.actor,
        "action": change.action,
        "target": change.target,
        "before": change.before,
        "after": change.after,
        "reason": change.reason,
        "address": change.address,
    }
