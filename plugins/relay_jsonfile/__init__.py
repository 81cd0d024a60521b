"""The default storage: JSON files in the data directory, one journal, no other service.

Everything but the streams is held in memory; a commit is one checksummed line in `journal.jsonl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from relay.api import Storage, hookimpl, read_settings

from .storage import JSONFileStorage

__all__ = ["JSONFileStorage", "Plugin"]


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`[plugins.jsonfile]`, both optional: how old the files may get, and how large the journal."""

    checkpoint_seconds: Annotated[float, msgspec.Meta(ge=1, le=300)] = 240
    checkpoint_journal_mb: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64


class Plugin:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = read_settings(settings, Settings)

    @hookimpl
    def relay_storages(self) -> list[Storage]:
        megabytes = self._settings.checkpoint_journal_mb
        return [JSONFileStorage(self._settings.checkpoint_seconds, megabytes * 1024 * 1024)]
