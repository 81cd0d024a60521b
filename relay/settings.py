"""The shape of plugins.toml, with its defaults. `config.py` reads the file into this."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from relay.domain.events import EventKind
from relay.domain.money import money

Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
# Upper bounds keep every time inside what sockets, threads and dates can hold.
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
SecondsOrNone = Annotated[int, Meta(ge=0, le=86_400)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
# A `$` alone would also let a line break at the end pass.
Price = Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,8})?$(?!\n)")]
Origin = Annotated[str, Meta(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/\s]+)$(?!\n)")]
"""As a browser sends it: scheme and host, no path, no slash at the end."""
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3,5}$(?!\n)")]
PackageId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$(?!\n)")]


class RelaySettings(Struct, frozen=True, forbid_unknown_fields=True):
    public_url: Annotated[str, Meta(pattern=r"^https?://[^/\s]+")] = "http://127.0.0.1:8484"
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8484
    data_dir: Annotated[str, Meta(min_length=1)] = "./data"
    threads: Annotated[int, Meta(ge=4, le=4096)] = 256
    reserve_threads: Annotated[int, Meta(ge=1)] = 32
    """Threads that inference never takes, so that health, admin and webhooks always find one. When the file
    does not say, a quarter of few threads."""
    max_upload_mb: Positive = 2048
    max_spool_mb: Positive = 8192
    """All bodies on their way in, together."""
    drain_seconds: SecondsOrNone = 20
    body_seconds: Seconds = 600
    """How long a caller may take to send one request."""
    call_seconds: Seconds = 600
    """How long one inference call may take."""
    cors_origins: tuple[Origin, ...] = ("*",)
    trusted_proxies: tuple[str, ...] = ()
    pin_cpu: bool = True
    admin_password: Annotated[str, Meta(min_length=1)] | None = None
    log_level: Annotated[str, Meta(pattern=r"^(debug|info|warning|error)$(?!\n)")] = "info"


def _check_price(price: str, currency: str) -> None:
    """A price of nothing would give it away without end; for that there are codes."""
    try:
        units = money(price, currency).units
    except ValueError as exc:
        raise ValueError(f"price: {exc}") from None
    if units == 0:
        raise ValueError("price must be more than 0; to give something away, make a discount code")


class TierSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One tier. An omitted limit is unlimited. A tier counts by lifetime or by month, not both."""

    lifetime_credits: Count | None = None
    lifetime_gemini: Count | None = None
    monthly_credits: Count | None = None
    monthly_gemini: Count | None = None
    price: Price | None = None
    currency: Currency = "USD"
    period_days: Annotated[int, Meta(ge=1, le=3660)] = 30

    def __post_init__(self) -> None:
        if self.price is not None:
            _check_price(self.price, self.currency)


class Package(Struct, frozen=True, forbid_unknown_fields=True):
    id: PackageId
    credits: Annotated[int, Meta(ge=1, le=1_000_000)]
    price: Price
    currency: Currency = "USD"

    def __post_init__(self) -> None:
        _check_price(self.price, self.currency)


class JobSettings(Struct, frozen=True, forbid_unknown_fields=True):
    free_window_hours: Annotated[float, Meta(ge=0, le=876_000)] = 24
    max_calls: Positive = 500
    workers: Annotated[int, Meta(ge=1, le=1024)] = 16
    """How many jobs in the background run at once."""
    max_queued: Positive = 1000
    max_queued_per_account: Positive = 100
    job_seconds: Seconds = 14_400
    """How long one job in the background may run; a restart of the relay begins the time again."""


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    requests_per_minute: Count = 120
    concurrent_calls: Count = 8
    new_installs_per_address_per_hour: Count = 30


class RetentionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    outputs_days: Days = 7
    jobs_days: Days = 30
    inbox_days: Days = 180
    audit_days: Days = 3650
    idempotency_mb: Positive = 1024
    """What answers stored for Idempotency-Key may take; the oldest go first. They are kept for a day."""


class OutputSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What calls answered, kept for `retention.outputs_days` for the operator to look at. Beyond `max_mb` the oldest
    go first."""

    keep: bool = True
    max_mb: Positive = 1024


class MeetingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Internal meetings are worked on in pieces of `piece_seconds`, of which two neighbours share `overlap_seconds`."""

    piece_seconds: Annotated[int, Meta(ge=20, le=3600)] = 300
    overlap_seconds: Annotated[int, Meta(ge=2, le=60)] = 10

    def __post_init__(self) -> None:
        if self.overlap_seconds * 2 >= self.piece_seconds:
            raise ValueError("overlap_seconds must be less than half of piece_seconds")


class ReconcileSettings(Struct, frozen=True, forbid_unknown_fields=True):
    initial_delay_seconds: SecondsOrNone = 15
    interval_seconds: Seconds = 60
    window_hours: Annotated[int, Meta(ge=1, le=876_000)] = 72
    on_amount_drift: Annotated[str, Meta(pattern=r"^(review|grant)$(?!\n)")] = "review"
    grant_late: bool = False
    accept_marked: bool = True


class EventSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the operator's own server is told what happens; no `url`: nowhere. `kinds`: which events, empty: all."""

    url: Annotated[str, Meta(pattern=r"^https?://[^/?#\s]+", max_length=2048)] | None = None
    secret: Annotated[str, Meta(min_length=16)] | None = None
    kinds: tuple[EventKind, ...] = ()
    low_credits: Count = 2


class RoutingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Names of backends in order of asking; None: all enabled ones, in the order of their tables."""

    transcribe: tuple[str, ...] | None = None
    analyze: tuple[str, ...] | None = None
    diarize: tuple[str, ...] | None = None


DEFAULT_TIERS = {
    "core": TierSettings(lifetime_credits=10, lifetime_gemini=5),
    "pro": TierSettings(monthly_credits=50, monthly_gemini=25, price="5.00"),
    "max": TierSettings(monthly_credits=200, monthly_gemini=100, price="15.00"),
}


class RenewalSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`days_before` its end a tier's next period is asked for; `grace_days` after it the offer to pay ends."""

    days_before: Annotated[int, Meta(ge=1, le=30)] = 3
    grace_days: Annotated[int, Meta(ge=0, le=60)] = 7


RECAP_PROMPT = (
    "Summarise this recording: first its subject in one sentence, then the main points, the decisions,"
    " and who is to do what. Say only what the transcript supports."
)
MEETING_PROMPT = (
    "Summarise this meeting from its transcript: what it was about in one sentence, then the main points in order,"
    " what was decided, and the tasks with who took each and by when. Name people as the transcript does, and say"
    " only what it supports."
)
Prompt = Annotated[str, Meta(min_length=1, max_length=20_000, pattern=r"\S")]


class PromptSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`recap`: what a recap job asks when its caller sends no `prompt`; `meeting_summary`: of an internal meeting."""

    recap: Prompt = RECAP_PROMPT
    meeting_summary: Prompt = MEETING_PROMPT


class Settings(Struct, frozen=True):
    relay: RelaySettings = RelaySettings()
    tiers: dict[str, TierSettings] = msgspec.field(default_factory=lambda: dict(DEFAULT_TIERS))
    packages: tuple[Package, ...] = ()
    jobs: JobSettings = JobSettings()
    routing: RoutingSettings = RoutingSettings()
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    outputs: OutputSettings = OutputSettings()
    meetings: MeetingSettings = MeetingSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    events: EventSettings = EventSettings()
    renewals: RenewalSettings = RenewalSettings()
    prompts: PromptSettings = PromptSettings()
