"""What an operator should know at once, in words, with the tab where it can be looked into."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay.domain.instants import iso
from relay.errors import RelayError
from relay.services.core import Core

LOW_DISK_BYTES = 2 * 2**30
LOW_DISK_SHARE = 0.05
ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the books say. `silent`: rails that were paid through and whose webhook never arrived."""

    accounts: int
    paid: int
    blocked: int
    open_orders: int
    review: int
    oldest_review: str | None
    dead: int
    newest_dead: str | None
    owed: int
    silent: tuple[str, ...]


Alert = dict[str, Any]


def alerts(
    core: Core, seen: Facts, backends: list[dict[str, Any]], rails: list[dict[str, Any]], now: datetime
) -> list[Alert]:
    """Errors first."""
    found = [*_house(core, now), *_backends(backends), *_rails(rails, seen), *_money(seen), *_books(core)]
    return sorted(found, key=lambda alert: ORDER[alert["level"]])


def _alert(name: str, level: str, text: str, tab: str, at: str | None = None) -> Alert:
    return {"id": name, "level": level, "text": text, "at": at, "tab": tab}


def _house(core: Core, now: datetime) -> list[Alert]:
    found = []
    try:
        core.storage.check()
    except RelayError as exc:
        found.append(_alert("storage", "error", f"Nothing can be saved: {exc.message}", "Settings", iso(now)))
    else:
        if text := low_disk(core):
            found.append(_alert("disk", "warning", text, "Settings", iso(now)))
    if waiting := core.settings_book.restart_needed():
        said = f"Saved settings wait for a restart of the relay: {', '.join(waiting[:5])}"
        found.append(_alert("restart", "info", said + ("…" if len(waiting) > 5 else ""), "Settings"))
    return found


def low_disk(core: Core) -> str:
    """Why the disk is nearly full; "" when it is not, or cannot be asked."""
    try:
        disk = shutil.disk_usage(core.data_dir)
    except OSError:
        return ""
    if disk.free >= min(LOW_DISK_BYTES, disk.total * LOW_DISK_SHARE):
        return ""
    return f"The disk of the data directory is nearly full: {disk.free // 2**20} MB are left"


def _backends(backends: list[dict[str, Any]]) -> list[Alert]:
    found = []
    for backend in backends:
        name, health = backend["name"], backend["health"]
        if health["state"] != "closed":
            said = f"Backend {name} keeps failing ({health['last_error']}) and is asked last for a while"
            found.append(_alert(f"backend:{name}", "error", said, "Jobs"))
        elif backend["waiting"] >= backend["queue_size"] > 0:
            said = f"The line of backend {name} is full; further calls are refused"
            found.append(_alert(f"line:{name}", "warning", said, "Jobs"))
    return found


def _rails(rails: list[dict[str, Any]], seen: Facts) -> list[Alert]:
    found = []
    for rail in rails:
        name = rail["name"]
        if rail["state"] == "down":
            said = f"Payment service {name} does not answer; orders wait until it does"
            found.append(_alert(f"rail:{name}", "error", said, "Payments"))
        elif rail["state"] == "off":
            found.append(
                _alert(f"rail:{name}", "info", f"Nothing is sold through {name}: {rail['problem']}", "Payments")
            )
        elif name in seen.silent:
            said = (
                f"No webhook of {name} has ever arrived, though it was paid through. Payments are found by looking,"
                " which takes longer; check the webhook's address there"
            )
            found.append(_alert(f"webhook:{name}", "warning", said, "Payments"))
    return found


def _money(seen: Facts) -> list[Alert]:
    found = []
    if seen.review:
        said = "1 payment waits" if seen.review == 1 else f"{seen.review} payments wait"
        found.append(_alert("review", "warning", f"{said} for your decision", "Payments", seen.oldest_review))
    if seen.dead:
        said = "1 message" if seen.dead == 1 else f"{seen.dead} messages"
        text = f"{said} to other servers could not be delivered and were given up"
        found.append(_alert("callbacks", "warning", text, "Jobs", seen.newest_dead))
    if seen.owed:
        said = f"{seen.owed} credits were spent before their payment was taken back, and are owed"
        found.append(_alert("owed", "warning", said, "Users"))
    return found


def _books(core: Core) -> list[Alert]:
    books = core.books_check.view()
    if books["balanced"] is not False:
        return []
    said = "The books do not balance: some accounts differ from their ledger entries"
    return [_alert("books", "error", said, "Overview", books["checked_at"])]
