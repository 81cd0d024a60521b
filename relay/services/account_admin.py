"""What an operator does to one account: debit, tier, block, move. Each with a line in the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relay.books import accounts, audit
from relay.domain import tiers
from relay.domain.accounts import PREFIXES, Account
from relay.domain.credits import admin_row
from relay.domain.instants import iso, utcnow
from relay.domain.ledger import Draft, Entry
from relay.errors import BadIdentity, Conflict, Invalid, NotFound
from relay.identity import check_id
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.meter_refusals import blocked as refusal
from relay.services.policy import Policy

Also = Callable[[Tx], None]
Change = Callable[[Account, datetime], list[Draft]]


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, and why."""

    actor: str
    reason: str = ""


class AccountAdmin:
    """`also` is part of a change's transaction and sees it; it may be run again: tx calls only."""

    def __init__(self, storage: Storage, policy: Policy, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._policy = policy
        self._clock = clock

    def one(self, key: str) -> dict[str, Any]:
        """A row of the table. Raises NotFound."""
        return self._storage.read(lambda tx: self.row(tx, key))

    def row(self, tx: ReadTx, key: str) -> dict[str, Any]:
        return admin_row(key, known(tx, key), self._policy.tiers, self._clock())

    def history(self, key: str, *, limit: int, before: int | None) -> list[Entry]:
        """Entries, newest first; those of an erased account stay. Raises NotFound for a key that never had any."""

        def read(tx: ReadTx) -> list[Entry]:
            entries = accounts.history(tx, key, limit=limit, before=before)
            return entries if entries or before is not None or known(tx, key) else []

        return self._storage.read(read)

    def refuse_blocked(self, key: str) -> None:
        """Raises Forbidden (blocked)."""
        account = self._storage.read(lambda tx: accounts.get(tx, key))
        if account is not None and account.blocked:
            raise refusal()

    def debit(self, key: str, amount: int, by: By, also: Also) -> None:
        """Take purchased credits. Raises NotFound, Conflict (not_enough) with what there is."""

        def debit(account: Account, _now: datetime) -> list[Draft]:
            take(account, amount)
            return [Draft("adjust", "purchased", -amount, by.reason)]

        self._change(key, by, "credits.debit", debit, also)

    def set_tier(self, key: str, name: str, period_days: int | None, by: By, also: Also) -> None:
        """For `period_days`, or without an end. Raises NotFound, Invalid."""
        if name not in self._policy.tiers:
            raise Invalid(f"there is no tier {name[:100]!r}; there are: {', '.join(self._policy.tiers)}", "tier")
        if name == "core" and period_days is not None:
            raise Invalid("core has no end; leave period_days out", "period_days")

        def change(account: Account, now: datetime) -> list[Draft]:
            expires = None if period_days is None else now + timedelta(days=period_days)
            drafts = tiers.refresh(account, self._policy.tiers, now)
            return drafts + tiers.change_tier(account, self._policy.tiers, name, now, expires=expires, reason=by.reason)

        self._change(key, by, "credits.tier", change, also)

    def block(self, key: str, by: By, also: Also, *, blocked: bool) -> None:
        """No calls, checkouts or new keys for the account, until it is unblocked. Raises NotFound."""

        def set_blocked(account: Account, _now: datetime) -> list[Draft]:
            account.blocked = blocked
            return []

        self._change(key, by, "credits.block" if blocked else "credits.unblock", set_blocked, also)

    def move(self, key: str, to: str, amount: int | None, by: By, also: Callable[[Tx, int], None]) -> None:
        """Purchased credits to another account, all of them without an `amount`; `also` learns how many.

        A row is made for a well-formed key that has none. The two entries share a reference. Neither names the other
        account: an account's owner reads its entries, and an install id is a secret.
        """
        to = well_formed(to, "to")
        if to == key:
            raise Invalid("to must be another account", "to")
        reference = f"move_{secrets.token_hex(8)}"

        def move(tx: Tx) -> None:
            now, known_tiers = self._clock(), self._policy.tiers
            giver, taker = known(tx, key), accounts.get(tx, to) or accounts.new(tx, to, now)
            before = {key: giver.purchased_balance, to: taker.purchased_balance}
            moved = giver.purchased_balance if amount is None else amount
            take(giver, max(1, moved))
            taker.purchased_balance += moved
            for who, account, signed in ((key, giver, -moved), (to, taker, moved)):
                drafts = [Draft("adjust", "purchased", signed, by.reason)]
                accounts.save(tx, who, account, known_tiers, now, drafts, actor=by.actor, reference=reference)
            after = {key: giver.purchased_balance, to: taker.purchased_balance}
            record(tx, by, "credits.move", f"{key} -> {to}", before, after)
            also(tx, moved)

        self._storage.transact(move)

    def _change(self, key: str, by: By, action: str, change: Change, also: Also) -> None:
        def run(tx: Tx) -> None:
            now, account = self._clock(), known(tx, key)
            before = facts(account)
            drafts = change(account, now)
            accounts.save(tx, key, account, self._policy.tiers, now, drafts, actor=by.actor)
            after = facts(account)
            differing = [name for name in before if before[name] != after[name]]
            record(tx, by, action, key, {n: before[n] for n in differing}, {n: after[n] for n in differing})
            also(tx)

        self._storage.transact(run)


def known(tx: ReadTx, key: str) -> Account:
    """Raises NotFound."""
    account = accounts.get(tx, key)
    if account is None:
        raise NotFound(f"there is no account {key[:140]}; it is made by its first call, or by its app")
    return account


def take(account: Account, amount: int) -> None:
    """Raises Conflict when there are not so many purchased credits."""
    if amount > account.purchased_balance:
        there = account.purchased_balance
        raise Conflict(
            f"the account has {there} purchased credits; at most so many can be taken",
            code="not_enough",
            details={"purchased": there},
        )
    account.purchased_balance -= amount


def well_formed(key: str, path: str) -> str:
    """A key that a caller could have, trimmed. Raises Invalid."""
    key = key.strip()
    prefix, _, name = key.partition(":")
    try:
        if prefix in PREFIXES:
            check_id(name, "the id")
            return key
    except BadIdentity:
        pass
    raise Invalid(f"{path} must be an account: {', '.join(f'{p}:…' for p in PREFIXES)}", path)


def facts(account: Account) -> dict[str, Any]:
    """What the audit log says of an account."""
    return {
        "tier": account.tier_snapshot,
        "subscription_expires_at": iso(account.subscription_expires_at),
        "purchased": account.purchased_balance,
        "blocked": account.blocked,
    }


def record(tx: Tx, by: By, action: str, target: str, before: Any, after: Any) -> None:
    audit.record(tx, by.actor, action, target, before=before, after=after, reason=by.reason)
