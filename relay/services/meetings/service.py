"""Internal meetings, put together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from relay.domain.instants import utcnow
from relay.ports.storage import Storage
from relay.services.meetings.directory import Directory


class Meetings:
    def __init__(
        self, storage: Storage, data_dir: Path, max_bytes: int, clock: Callable[[], datetime] = utcnow
    ) -> None:
        self._storage = storage
        self.directory = Directory(storage, data_dir / "uploads", max_bytes, clock)

    def view(self, meeting_id: str) -> dict[str, Any]:
        """All that is known of one meeting. Raises NotFound."""
        return {"meeting": self.directory.view(meeting_id)}

    def delete(self, meeting_id: str, actor: str) -> None:
        self.directory.delete(meeting_id, actor)
