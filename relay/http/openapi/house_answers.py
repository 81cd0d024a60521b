"""Shapes of the answers under `/admin/`: figures, jobs, settings, meetings."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from relay.http.openapi.answers import Attempt, Ok

Counted = dict[str, int]


class Figures(Struct):
    """What happened since `at`, for an hour, a day or a range. `calls`: ended ones, free follow-ups included;
    `charged`, `granted`, `sold`: credits; `money`: settled orders by currency; times in milliseconds."""

    at: datetime | None
    calls: int
    charged: int
    failed: int
    free: int
    audio_seconds: float
    errors: Counted
    tasks: Counted
    backends: Counted
    p50_ms: float | None
    p95_ms: float | None
    queue_max: int
    granted: int
    sold: int
    money: dict[str, str]
    new_accounts: int


class Totals(Struct):
    today: Figures
    last_24h: Figures
    last_30d: Figures


class AccountCounts(Struct):
    count: int
    paid: int
    blocked: int


class MoneyNow(Struct):
    open_orders: int
    review: int
    settled_30d: dict[str, str]
    owed: int


class Difference(Struct):
    credit_key: str
    difference: Any


class Books(Struct):
    """`balanced` is null before the first full pass. `progress` of the running pass, from 0 to 1."""

    balanced: bool | None
    checked_at: datetime | None
    accounts: int
    progress: float | None
    differing: list[Difference]


class QueueNow(Struct):
    running: int
    queued: int
    jobs_queued: int
    jobs_running: int


class BackendHealth(Struct):
    state: Literal["closed", "open", "half_open"]
    consecutive_failures: int
    demoted_until: datetime | None
    last_error: str | None


class BackendNow(Struct):
    name: str
    tasks: list[str]
    running: int
    waiting: int
    max_concurrent: int
    health: BackendHealth


class HardwareBackend(BackendNow, kw_only=True):
    queue_size: int
    mean_seconds: float | None
    estimate_seconds: float
    calls: list[dict[str, Any]]


class HardwareAnswer(Ok):
    backends: list[HardwareBackend]


class RailNow(Struct):
    name: str
    state: Literal["ok", "down", "off"]
    problem: str | None


class Alert(Struct):
    id: str
    level: Literal["error", "warning", "info"]
    text: str
    at: datetime | None
    tab: str


class DashboardAnswer(Ok):
    version: str
    uptime_seconds: float
    now: datetime
    totals: Totals
    hours: list[Figures]
    days: list[Figures]
    accounts: AccountCounts
    money: MoneyNow
    books: Books
    queue: QueueNow
    backends: list[BackendNow]
    rails: list[RailNow]
    alerts: list[Alert]


class UsageAnswer(Ok):
    by: Literal["hour", "day"]
    rows: list[Figures]
    totals: Figures


class BooksAnswer(Ok):
    books: Books


# Jobs


class LiveJob(Struct):
    """`kind`: `call` for one that somebody waits for, `job` for one in the background."""

    job_id: str
    name: str
    account: str
    task: str
    kind: Literal["call", "job"]
    state: Literal["processing", "queued"]
    backend: str | None
    model: str | None
    since: datetime
    age_seconds: float
    position: int | None
    progress: float | None


class LiveJobs(Ok):
    running: list[LiveJob]
    queued: list[LiveJob]
    counts: Counted


class JobRow(Struct):
    job_id: str
    name: str
    account: str
    task: str
    state: str
    backend: str | None
    model: str | None
    created_at: datetime | None
    ended_at: datetime | None
    charged: int
    refunded: bool
    error: dict[str, Any] | None


class JobRows(Ok):
    rows: list[JobRow]
    next: str | None


class ChargeView(Struct):
    charged: int
    explanation: str


class OutputRow(Struct):
    id: str
    at: datetime
    task: str
    bytes: int | None


class JobDetails(JobRow, kw_only=True):
    inputs: dict[str, Any]
    attempts: list[Attempt]
    calls: int
    free_until: datetime | None
    charge: ChargeView
    work: dict[str, Any] | None
    outputs: list[OutputRow]


class JobDetailsAnswer(Ok):
    job: JobDetails


class OneJobRow(Ok):
    job: JobRow


class RefundedAnswer(Ok):
    refunded: bool


class StoredOutput(OutputRow, kw_only=True):
    output: Any


class JobOutputs(Ok):
    job_id: str
    outputs: list[StoredOutput]


class OutputStats(Ok):
    count: int
    bytes: int
    oldest_at: datetime | None
    newest_at: datetime | None
    limit_mb: int
    keep_days: int
    enabled: bool


class OutputIds(Ok):
    ids: list[str]
    count: int
    next: str | None


class DeletedCount(Ok):
    deleted: int


class TestResult(Struct):
    """`score` from 0 to 1; `score_kind` says of what. `speed`: seconds of audio per second."""

    backend: str
    task: str
    sample: str
    ok: bool
    elapsed_ms: int
    audio_seconds: float | None
    speed: float | None
    score: float | None
    score_kind: str | None
    output: Any
    error: dict[str, Any] | None


class TestRunAnswer(Ok):
    result: TestResult


class SuiteAnswer(Ok):
    results: list[TestResult]


# Settings


class SettingRow(Struct):
    """`live`: a change counts at once, else after a restart. `unlimited`: null is allowed."""

    key: str
    value: Any
    default: Any
    file: Any
    source: Literal["file", "dashboard", "default"]
    live: bool
    kind: str
    choices: list[Any] | None
    unlimited: bool
    group: str
    help: str
    problem: str | None


class SettingsAnswer(Ok):
    version: int
    settings: list[SettingRow]
    restart_needed: list[str]


class SettingsSaved(Ok):
    version: int
    changed: list[str]
    restart_needed: list[str] | UnsetType = UNSET


class SettingsHistory(Ok):
    rows: list[dict[str, Any]]


class PromotedAnswer(Ok):
    version: int
    name: str


class ConfigAnswer(Ok):
    """`config`: the tree in force, secrets masked. `sources`: where each value comes from."""

    config: dict[str, Any]
    sources: dict[str, str]
    file: str


class PluginRow(Struct):
    name: str
    version: str
    kinds: list[str]
    enabled: bool
    healthy: bool | None
    problem: str | None
    origin: str = msgspec.field(name="from")
    details: dict[str, Any]


class PluginsAnswer(Ok):
    plugins: list[PluginRow]
