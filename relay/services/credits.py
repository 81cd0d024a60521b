"""What an operator does to an account: grant credits, set or extend a tier, refund a job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from relay.books import accounts, holds, jobs
from relay.domain import tiers
from relay.domain.accounts import Account, count_gemini, spend
from relay.domain.credits import credits_view, current
from relay.domain.holds import Hold, give_back, same_month
from relay.domain.instants import iso, utcnow
from relay.domain.ledger import Draft, Entry, Sums
from relay.errors import Conflict, Invalid, NotFound
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.policy import Policy

Also = Callable[[Tx], None]


class Credits:
    def __init__(self, storage: Storage, policy: Policy, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._policy = policy
        self._clock = clock

    def grant(
        self, key: str, amount: int, *, reason: str, actor: str, make_row: bool, also: Also = lambda _tx: None
    ) -> int:
        """Add purchased credits; returns the new purchased balance.

        NotFound for a key with no row, unless `make_row`. `also` is part of the transaction and sees the change.
        """

        def grant(tx: Tx) -> int:
            now = self._clock()
            account = accounts.get(tx, key)
            if account is None and not make_row:
                raise NotFound(f"there is no account {key[:140]}; it is made by its first call, or by its app")
            account = account or accounts.new(tx, key, now)
            account.purchased_balance += amount
            account.purchased_total_ever += amount
            self._save(tx, key, account, [Draft("grant", "purchased", amount, reason)], now, actor=actor)
            also(tx)
            return account.purchased_balance

        return self._storage.transact(grant)

    def user(self, key: str) -> dict[str, Any]:
        """Tier, end of subscription and credits of an account; makes no row."""
        return self._storage.read(lambda tx: self.user_view(tx, key))

    def user_view(self, tx: ReadTx, key: str) -> dict[str, Any]:
        """The same inside a transaction."""
        now = self._clock()
        account = current(accounts.get(tx, key), self._policy.tiers, now)
        tier = tiers.tier_of(account, self._policy.tiers, now)
        return {
            "user_id": key.partition(":")[2],
            "credit_key": key,
            "tier": tier.name,
            "subscription_expires_at": iso(account.subscription_expires_at),
            "credits": credits_view(account, tier),
        }

    def purchased(self, tx: ReadTx, key: str) -> int:
        """The balance inside a transaction."""
        account = accounts.get(tx, key)
        return account.purchased_balance if account else 0

    def set_tier(
        self, key: str, name: str, period_days: int | None, *, actor: str, also: Also = lambda _tx: None
    ) -> None:
        """Put the account into a tier, for `period_days` or without an end. The present tier is not refilled."""
        self._known(name)
        if name == "core" and period_days is not None:
            raise Invalid("core has no end; leave period_days out", "period_days")

        def change(tx: Tx) -> None:
            now = self._clock()
            expires = None if period_days is None else now + timedelta(days=period_days)
            account = accounts.get(tx, key)
            self._change(tx, key, account, name, expires, now, actor=actor)
            also(tx)

        self._storage.transact(change)

    def extend_tier(self, key: str, name: str, period_days: int, *, actor: str, also: Also = lambda _tx: None) -> None:
        """One more period of the tier, from its present end. Conflict while another paid tier runs."""
        self._known(name)
        if name == "core":
            raise Invalid("core has no end; there is nothing to extend", "tier")

        def extend(tx: Tx) -> None:
            now = self._clock()
            account = accounts.get(tx, key)
            row = current(accounts.get(tx, key), self._policy.tiers, now)
            if row.tier_snapshot not in {"core", name}:
                raise Conflict(
                    f"tier {row.tier_snapshot} is running; set the new tier with PUT, or wait for its end",
                    code="tier_conflict",
                )
            same = row.tier_snapshot == name
            expires = tiers.extended_end(row, period_days, now) if same else now + timedelta(days=period_days)
            self._change(tx, key, account, name, expires, now, actor=actor)
            also(tx)

        self._storage.transact(extend)

    def refund(self, job_id: str, *, reason: str, actor: str, also: Also = lambda _tx: None) -> bool:
        """Give a paid job's credit back where it came from; to `purchased` when that month has rolled.

        False when there is nothing to refund (any more); else `also` is part of the transaction.
        """

        def refund(tx: Tx) -> bool:
            job = jobs.get(tx, job_id)
            account = accounts.get(tx, job.account) if job else None
            if job is None or account is None or job.paid_at is None or job.bucket == "":
                return False
            now = self._clock()
            if (hold := holds.get(tx, job_id)) is not None:
                give_back(account, hold)
                holds.delete(tx, hold)
            drafts = tiers.refresh(account, self._policy.tiers, now)
            taken = _settled(account, holds.of_account(tx, job.account))
            gone = not same_month(account, job.bucket, job.cycle) or (job.bucket == "lifetime" and account.core_closed)
            # A row may have been edited by hand since: what is not taken any more cannot go back there.
            gone = gone or (job.bucket != "purchased" and not taken[f"{job.bucket}_consumed"])
            bucket = "purchased" if gone else job.bucket
            spend(account, bucket, -1)
            draft = Draft("refund", bucket, 1, reason, cycle=job.cycle if bucket == "monthly" else None)
            counted = taken.get(f"{job.gemini}_gemini_consumed", 0)
            if job.gemini in {"lifetime", "monthly"} and same_month(account, job.gemini, job.cycle) and counted:
                count_gemini(account, job.gemini, -1)
                draft.gemini, draft.gemini_bucket, draft.cycle = -1, job.gemini, job.cycle
            job.paid_at, job.bucket, job.gemini, job.refunded = None, "", "", True
            jobs.put(tx, job_id, job)
            self._save(tx, job.account, account, [*drafts, draft], now, actor=actor, reference=job_id)
            also(tx)
            return True

        return self._storage.transact(refund)

    def history(self, key: str, *, limit: int, before: int | None) -> list[Entry]:
        return self._storage.read(lambda tx: accounts.history(tx, key, limit=limit, before=before))

    def _known(self, name: str) -> None:
        if name not in self._policy.tiers:
            raise Invalid(f"there is no tier {name!r}; there are: {', '.join(self._policy.tiers)}", "tier")

    def _change(
        self,
        tx: Tx,
        key: str,
        account: Account | None,
        name: str,
        expires: datetime | None,
        now: datetime,
        *,
        actor: str,
    ) -> None:
        fresh = account is None
        account = account or accounts.new(tx, key, now)
        drafts = tiers.refresh(account, self._policy.tiers, now)
        drafts += tiers.change_tier(account, self._policy.tiers, name, now, expires=expires, fresh=fresh)
        self._save(tx, key, account, drafts, now, actor=actor)

    def _save(
        self,
        tx: Tx,
        key: str,
        account: Account,
        drafts: list[Draft],
        now: datetime,
        *,
        actor: str,
        reference: str = "",
    ) -> None:
        accounts.save(tx, key, account, self._policy.tiers, now, drafts, actor=actor, reference=reference)


def _settled(account: Account, open_holds: list[Hold]) -> dict[str, int]:
    """What has been taken from the allowances for good: without what open holds will settle or give back."""
    taken = Sums.of(account)
    for hold in open_holds:
        taken.add_hold(hold)
    return {name: max(0, getattr(account, name) - value) for name, value in taken.counters.items()}
