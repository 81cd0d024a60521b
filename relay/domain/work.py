"""What a job in the background needs beside its record: where it stands, what was asked, what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

State = Literal["queued", "processing", "completed", "failed", "cancelled"]
WorkTask = Literal["transcribe", "analyze", "diarize", "recap"]
OWNER = "job:"
"""An owner of a hold that begins so is a job in the background; its server id follows."""


class Work(Struct, omit_defaults=True, gc=False):
    """Kept under the job's server id. `name`: the caller's id for it, or the server id.

    `call`: the id of the metered call that pays for it. `who`: the rest of the caller's identity. `open_at`: when it
    was accepted, in nanoseconds, while it has not ended: the order of the line. `request`, `upload`, `result`: refs
    of blobs; the first two are dropped at the end. `starts`: how often it was begun, restarts of the relay included.
    """

    account: str
    name: str
    task: WorkTask
    call: str
    who: dict[str, Any]
    created_at: datetime
    open_at: int | None = None
    state: State = "queued"
    request: str | None = None
    upload: str | None = None
    filename: str = ""
    starts: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: str | None = None
    error: dict[str, Any] | None = None
    backend: str = ""
    model: str = ""
    callback_url: str = ""
    callback_secret: str = ""

    @property
    def ended(self) -> bool:
        return self.open_at is None


def owner_of(job_id: str) -> str:
    return OWNER + job_id
