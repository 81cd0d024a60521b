"""Shapes of the answers about internal meetings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from relay.domain.meetings import Options, State
from relay.http.openapi.answers import Ok


class MeetingRow(Struct):
    id: str
    title: str
    state: State
    created_at: datetime
    duration: float | None
    speakers: int | None
    bytes: int
    progress: float | None
    error: Any


class UploadState(Struct):
    """`offset`: how many bytes have arrived."""

    offset: int
    complete: bool


class MeetingsAnswer(Ok):
    meetings: list[MeetingRow]
    next: str | None


class MeetingMade(Ok):
    meeting: MeetingRow
    upload: UploadState | UnsetType = UNSET


class MeetingAnswer(Ok):
    meeting: MeetingRow


class UploadAnswer(Ok):
    upload: UploadState


class MeetingView(Ok):
    """`text`: the edited text, null before there is one."""

    meeting: MeetingRow
    text: dict[str, Any] | None


class MeetingCancelled(Ok):
    cancelled: str


class DeletedName(Ok):
    deleted: str


class RunRow(Struct):
    run: str
    at: datetime
    current: bool
    options: Options
    speakers: int
    lines: int
    notes: list[str]


class RunsAnswer(Ok):
    runs: list[RunRow]


class DifferenceAnswer(Ok):
    difference: dict[str, Any]


class VoiceRow(Struct):
    id: str
    name: str


class VoicesAnswer(Ok):
    voices: list[VoiceRow]


class VoiceAnswer(Ok):
    voice: VoiceRow


class VoiceRenamed(Ok):
    """`renamed`: meetings whose speakers got the name too; `left`: those that are worked on now, or are gone."""

    voice: VoiceRow
    renamed: list[str]
    left: list[str]
