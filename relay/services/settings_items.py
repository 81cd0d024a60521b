"""What can be set in the dashboard: every key with its group, its kind and a sentence about it.

Not here are secrets, the plugins' tables, and what must be known before the storage is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from relay.domain.events import EventKind
from relay.services.secrecy import without_secrets
from relay.settings import Settings

Kind = Literal["int", "float", "bool", "text", "choice", "list", "long-text"]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """`live`: a save takes effect at once, else at the next start. `unlimited`: null is allowed, and means no limit
    or "left out"."""

    path: Path
    group: str
    kind: Kind
    help: str
    live: bool = True
    choices: tuple[str, ...] | None = None
    unlimited: bool = False

    @property
    def key(self) -> str:
        return ".".join(self.path)


def _item(key: str, group: str, kind: Kind, text: str, **more: Any) -> Item:
    return Item(tuple(key.split(".")), group, kind, text, **more)


TIER = (
    _item("monthly_credits", "Quotas", "int", "Credits a month of this tier gives.", unlimited=True),
    _item("monthly_gemini", "Quotas", "int", "How many of them may be spent on Gemini in a month.", unlimited=True),
    _item("lifetime_credits", "Quotas", "int", "Credits this tier gives once, for good.", unlimited=True),
    _item("lifetime_gemini", "Quotas", "int", "How many of them may ever be spent on Gemini.", unlimited=True),
    _item("price", "Prices", "text", "What one period costs; empty takes the tier off sale.", unlimited=True),
    _item("currency", "Prices", "text", "The currency of the price, such as USD or SATS."),
    _item("period_days", "Prices", "int", "How many days a bought period, and a month of credits, lasts."),
)
"""Of every tier, under its name."""

FIXED = (
    _item("packages", "Packages", "list", "Credit packs on sale: id, credits, price and currency of each."),
    _item("jobs.free_window_hours", "Jobs", "float", "How many hours further calls of a paid job are free."),
    _item("jobs.max_calls", "Jobs", "int", "How many calls a paid job takes."),
    _item("jobs.workers", "Jobs", "int", "How many jobs in the background run at once.", live=False),
    _item("jobs.max_queued", "Jobs", "int", "How many jobs may wait; a further one is refused.", live=False),
    _item("jobs.max_queued_per_account", "Jobs", "int", "How many jobs of one account may wait.", live=False),
    _item("jobs.job_seconds", "Jobs", "int", "How long one job in the background may run.", live=False),
    _item("meetings.piece_seconds", "Jobs", "int", "Seconds of a piece that an internal meeting is worked on in."),
    _item("meetings.overlap_seconds", "Jobs", "int", "Seconds that two neighbouring pieces of a meeting share."),
    _item("limits.requests_per_minute", "Limits", "int", "Requests a caller may send in a minute; 0: any number."),
    _item("limits.concurrent_calls", "Limits", "int", "Calls of one caller that may run at once; 0: any number."),
    _item(
        "limits.new_installs_per_address_per_hour",
        "Limits",
        "int",
        "New installs one address may bring in an hour, as each gets free credits; 0: any number.",
    ),
    _item("retention.outputs_days", "Retention", "int", "How many days results are kept."),
    _item("retention.jobs_days", "Retention", "int", "How many days records of jobs are kept."),
    _item("retention.inbox_days", "Retention", "int", "How many days deliveries of payment services are kept."),
    _item(
        "retention.idempotency_mb", "Retention", "int", "Megabytes of answers kept for repeated requests; oldest go."
    ),
    _item("outputs.keep", "Retention", "bool", "Whether what calls answered is kept for you to look at."),
    _item("outputs.max_mb", "Retention", "int", "Megabytes the kept answers may take; the oldest go first."),
    _item("retention.audit_days", "Retention", "int", "How many days it is kept who changed what."),
    _item("reconcile.initial_delay_seconds", "Payments", "int", "Seconds until a new order is looked at first."),
    _item("reconcile.interval_seconds", "Payments", "int", "Seconds between two looks for orders that are due."),
    _item("reconcile.window_hours", "Payments", "int", "Hours a payment is looked for after its invoice ended."),
    _item(
        "reconcile.on_amount_drift",
        "Payments",
        "choice",
        "What happens when a payment is not of the asked amount: a person decides, or it is granted.",
        choices=("review", "grant"),
    ),
    _item("reconcile.grant_late", "Payments", "bool", "Whether full payments that come late are granted."),
    _item("reconcile.accept_marked", "Payments", "bool", "Whether invoices a person marked as settled are granted."),
    _item("renewals.days_before", "Payments", "int", "Days before its end that a tier's next period is asked for."),
    _item("renewals.grace_days", "Payments", "int", "Days after its end that the next period can still be paid."),
    _item("events.low_credits", "Payments", "int", "The event credits.low is sent at this many credits left."),
    _item(
        "events.kinds",
        "Payments",
        "list",
        "Which events your server is told; none chosen: all of them.",
        choices=get_args(EventKind),
    ),
    _item("prompts.recap", "Prompts", "long-text", "What a recap asks when the caller sends no prompt."),
    _item("prompts.meeting_summary", "Prompts", "long-text", "What the summary of an internal meeting asks."),
    _item("relay.public_url", "Server", "text", "Where buyers and webhook senders reach this relay.", live=False),
    _item("relay.threads", "Server", "int", "Threads of the server; each running call takes one.", live=False),
    _item("relay.reserve_threads", "Server", "int", "Threads that inference never takes.", live=False),
    _item("relay.max_upload_mb", "Server", "int", "The largest recording, in megabytes.", live=False),
    _item("relay.max_spool_mb", "Server", "int", "All bodies on their way in, together, in megabytes.", live=False),
    _item("relay.drain_seconds", "Server", "int", "Seconds a stop waits for calls in flight.", live=False),
    _item("relay.body_seconds", "Server", "int", "Seconds a caller may take to send one request.", live=False),
    _item("relay.call_seconds", "Server", "int", "Seconds one inference call may take.", live=False),
    _item("relay.cors_origins", "Server", "list", "Web pages that may call /relay/*.", live=False),
    _item("relay.trusted_proxies", "Server", "list", "Proxies whose X-Forwarded-For is believed.", live=False),
    _item(
        "relay.log_level",
        "Server",
        "choice",
        "How much is logged.",
        live=False,
        choices=("debug", "info", "warning", "error"),
    ),
)
ROUTING = "Backends that are asked to {task}, the first one first; left out: all of them."
IN_THE_FILE_ONLY = frozenset(
    {
        "relay.host",
        "relay.port",
        "relay.data_dir",
        "relay.pin_cpu",
        "relay.admin_password",
        "events.url",
        "events.secret",
    }
)


def items(settings: Settings, backends: Sequence[str]) -> dict[str, Item]:
    """By key. `settings`: the file's, which says which tiers there are."""
    return {item.key: item for item in _all(settings, tuple(backends))}


def _all(settings: Settings, backends: tuple[str, ...]) -> Iterator[Item]:
    for name in settings.tiers:
        for item in TIER:
            yield replace(item, path=("tiers", name, *item.path), help=f"{name}: {item.help}")
    yield from FIXED
    for task in settings.routing.__struct_fields__:
        text = ROUTING.format(task=task)
        yield Item(("routing", task), "Server", "list", text, live=False, choices=backends, unlimited=True)


def pick(tree: Mapping[str, Any], path: Path) -> Any:
    """The value in a tree of dicts, None when it is not there."""
    found: Any = tree
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def presented(item: Item, tree: Mapping[str, Any]) -> Any:
    """The value as it is shown and logged. A prompt is text of the operator's own and stays as it is."""
    value = pick(tree, item.path)
    return value if item.kind == "long-text" else without_secrets(value)


def has(tree: Mapping[str, Any], path: Path) -> bool:
    inside = pick(tree, path[:-1])
    return isinstance(inside, Mapping) and path[-1] in inside
