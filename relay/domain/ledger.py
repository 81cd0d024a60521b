"""Ledger entries: append-only, chained by hash within an account, and what they add up to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from relay.domain.accounts import Account, Bucket
from relay.domain.holds import Hold

Kind = Literal["charge", "refund", "purchase", "grant", "promotion", "cycle", "tier", "reversal", "adjust"]
_encoder = msgspec.json.Encoder(order="sorted")
COUNTERS = (
    "lifetime_consumed",
    "lifetime_gemini_consumed",
    "monthly_consumed",
    "monthly_gemini_consumed",
    "purchased_balance",
    "purchased_total_ever",
    "core_closed",
)


class Entry(Struct, omit_defaults=True, gc=False):
    """One change of an account.

    `amount`: signed whole credits, as the account's owner sees it: a charge is -1, a grant is +n.
    `bucket`: where it happened, "" when nothing moved. `cycle`: the start of the month a `monthly` amount
    belongs to; amounts of another month no longer count. `gemini`: how many jobs this counts against
    the gemini limit of `gemini_bucket`. `tier` and `expires_at`: what a `tier` entry set.
    `changes`: counter -> difference, for an `adjust` that may touch several at once.
    `balance_after`: what could be spent after it, null for unlimited.
    """

    n: int
    at: datetime
    kind: Kind
    bucket: Bucket | Literal[""]
    amount: int
    reason: str
    actor: str
    reference: str
    balance_after: int | None
    prev: str
    hash: str = ""
    gemini: int = 0
    gemini_bucket: Bucket | Literal[""] = ""
    cycle: datetime | None = None
    tier: str | None = None
    expires_at: datetime | None = None
    changes: dict[str, int] = {}


class Draft(Struct, gc=False):
    """An entry before it is sealed into the chain of its account."""

    kind: Kind
    bucket: Bucket | Literal[""] = ""
    amount: int = 0
    reason: str = ""
    gemini: int = 0
    gemini_bucket: Bucket | Literal[""] = ""
    cycle: datetime | None = None
    tier: str | None = None
    expires_at: datetime | None = None
    changes: dict[str, int] = {}


def digest(entry: Entry) -> str:
    """SHA-256 over the entry without its own hash. `prev` is inside, so an edit shows in all that follow."""
    bare = msgspec.structs.replace(entry, hash="") if entry.hash else entry
    return hashlib.sha256(_encoder.encode(bare)).hexdigest()


def seal(account: Account, draft: Draft, *, now: datetime, actor: str, reference: str, balance: int | None) -> Entry:
    """The next entry of the account; moves the account's `entries` and `head` on."""
    account.entries += 1
    entry = Entry(
        n=account.entries,
        at=now,
        kind=draft.kind,
        bucket=draft.bucket,
        amount=draft.amount,
        reason=draft.reason,
        actor=actor,
        reference=reference,
        balance_after=balance,
        prev=account.head,
        gemini=draft.gemini,
        gemini_bucket=draft.gemini_bucket,
        cycle=draft.cycle,
        tier=draft.tier,
        expires_at=draft.expires_at,
        changes=draft.changes,
    )
    entry.hash = digest(entry)
    account.head = entry.hash
    return entry


class Sums(Struct):
    """What the entries of one account add up to, fed oldest or newest first alike."""

    cycle: datetime | None
    counters: dict[str, int]
    tier: str = "core"
    expires_at: datetime | None = None
    tier_entry: int = 0

    @classmethod
    def of(cls, account: Account) -> Sums:
        return cls(account.cycle_started_at, dict.fromkeys(COUNTERS, 0))

    def add(self, entry: Entry) -> None:
        if entry.bucket == "lifetime":
            self.counters["lifetime_consumed"] -= entry.amount
        elif entry.bucket == "purchased":
            self.counters["purchased_balance"] += entry.amount
        elif entry.bucket == "monthly" and entry.cycle == self.cycle:
            self.counters["monthly_consumed"] -= entry.amount
        if entry.gemini_bucket == "lifetime":
            self.counters["lifetime_gemini_consumed"] += entry.gemini
        elif entry.gemini_bucket == "monthly" and entry.cycle == self.cycle:
            self.counters["monthly_gemini_consumed"] += entry.gemini
        if entry.kind in {"purchase", "grant"}:
            self.counters["purchased_total_ever"] += entry.amount
        for counter, change in entry.changes.items():
            if not counter.startswith("monthly") or entry.cycle == self.cycle:
                self.counters[counter] = self.counters.get(counter, 0) + change
        if entry.tier is not None and entry.n > self.tier_entry:
            self.tier, self.expires_at, self.tier_entry = entry.tier, entry.expires_at, entry.n

    def add_hold(self, hold: Hold) -> None:
        """An open hold has moved the counters already, without an entry."""
        if hold.bucket == "lifetime":
            self.counters["lifetime_consumed"] += 1
        elif hold.bucket == "purchased":
            self.counters["purchased_balance"] -= 1
        elif hold.bucket == "monthly" and hold.cycle == self.cycle:
            self.counters["monthly_consumed"] += 1
        if hold.gemini == "lifetime":
            self.counters["lifetime_gemini_consumed"] += 1
        elif hold.gemini == "monthly" and hold.cycle == self.cycle:
            self.counters["monthly_gemini_consumed"] += 1


def differences(account: Account, sums: Sums, holds: Iterable[Hold]) -> dict[str, Any]:
    """Where the row differs from its entries and open holds: name -> (row, entries). Empty is balanced."""
    held = 0
    for hold in holds:
        sums.add_hold(hold)
        held += hold.bucket != ""
    found: dict[str, Any] = {
        name: (getattr(account, name), value)
        for name, value in sums.counters.items()
        if getattr(account, name) != value
    }
    if account.held != held:
        found["held"] = (account.held, held)
    if account.tier_snapshot != sums.tier:
        found["tier_snapshot"] = (account.tier_snapshot, sums.tier)
    if account.subscription_expires_at != sums.expires_at:
        found["subscription_expires_at"] = (account.subscription_expires_at, sums.expires_at)
    return found
