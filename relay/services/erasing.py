"""Erasing: what is kept about an account goes, its entries stay and add up to nothing.

Records first, the row last, in transactions of a bounded size: what a crash leaves half done, doing it again ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from relay.books import accounts, holds, jobs, orders, outbox, outputs, pieces, subscriptions, usage, work
from relay.domain.accounts import Account
from relay.domain.holds import Hold, give_back
from relay.domain.instants import utcnow
from relay.domain.ledger import COUNTERS, Draft
from relay.domain.orders import Order
from relay.errors import Conflict, NotFound
from relay.ports.auth import KeyIssuer
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services import idempotency
from relay.services.account_admin import Also, By, facts, record
from relay.services.policy import Policy
from relay.services.running_calls import RunningCall

BATCH = 50
PIECES = 200
ROUNDS = 3
"""Calls that came in while an account's records went are followed so many times."""
MAX_OPEN = 10_000


class Erasing:
    """`issuers`: who may have made keys for the account. `running`: the calls that somebody waits for."""

    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        issuers: Iterable[object],
        clock: Callable[[], datetime] = utcnow,
        running: Callable[[], list[RunningCall]] = list,
    ) -> None:
        self._storage = storage
        self._running = running
        self._policy = policy
        self._issuers = [each for each in issuers if isinstance(each, KeyIssuer)]
        self._clock = clock

    def erase(self, key: str, by: By, also: Also) -> None:
        """Raises NotFound when nothing is kept, Conflict (busy) while a call of the account runs.

        `also` is part of the last transaction.
        """
        if any(running.call.identity.account == key for running in self._running()):
            raise busy()  # one that is paid already, a stream or a free one, holds nothing
        self._storage.read(lambda tx: refuse_busy(tx, key))
        found = sum(issuer.end_all(key) for issuer in self._issuers)
        for _ in range(ROUNDS):
            found += self.forget_records(key)
            if self._storage.transact(lambda tx: self._end(tx, key, by, also, nothing=not found)):  # noqa: B023
                return
        raise busy()

    def forget_records(self, key: str) -> int:
        """Its jobs with all that belongs to them, stored answers, and who paid for its orders; how many."""
        found = after = 0
        while seen := self._storage.read(lambda tx, at=after: tx.scan(outbox.COLL, limit=BATCH, offset=at)):  # type: ignore[misc]
            gone = self._storage.transact(lambda tx, seen=seen: _drop_callbacks(tx, key, seen))  # type: ignore[misc]
            after, found = after + len(seen) - gone, found + gone
        while n := self._storage.transact(lambda tx: self._some_jobs(tx, key)):
            found += n
        while n := self._storage.transact(lambda tx: idempotency.forget(tx, key)):
            found += n
        before: str | None = None
        while page := self._storage.transact(lambda tx, before=before: _forget_buyers(tx, key, before)):  # type: ignore[misc]
            before, found = page[-1], found + len(page)
        return found

    def _some_jobs(self, tx: Tx, key: str) -> int:
        rows = tx.scan(jobs.COLL, "account_at", f"{key} ", f"{key} ~", limit=BATCH)
        gone = 0
        for job_id, doc in rows:
            if doc["account"] == key:
                drop_job(tx, job_id, self._clock())
                gone += 1
        return gone

    def _end(self, tx: Tx, key: str, by: By, also: Also, *, nothing: bool) -> bool:
        """The row goes. False when there are jobs again."""
        refuse_busy(tx, key)
        if any(doc["account"] == key for _, doc in tx.scan(jobs.COLL, "account_at", f"{key} ", f"{key} ~", limit=1)):
            return False
        row, before = accounts.get(tx, key), None
        if row is None and nothing and subscriptions.get(tx, key) is None:
            raise NotFound(f"there is no account {key[:140]}, and nothing is kept about it")
        if row is not None:
            before = facts(row)
            zero(tx, key, row, (), self._policy, self._clock(), by)
        tx.delete(subscriptions.COLL, key)
        record(tx, by, "credits.erase", key, before, None)
        also(tx)
        return True


def zero(tx: Tx, key: str, account: Account, open_holds: Iterable[Hold], policy: Policy, now: datetime, by: By) -> None:
    """One `adjust` entry that takes back all that the others add up to; then the row goes, and its holds."""
    for hold in open_holds:
        give_back(account, hold)
        holds.delete(tx, hold)
    changes = {name: -int(getattr(account, name)) for name in COUNTERS if getattr(account, name)}
    draft = Draft(
        "adjust",
        "",
        changes.get("purchased_balance", 0),
        by.reason,
        changes=changes,
        cycle=account.cycle_started_at,
        tier="core",
    )
    for name in COUNTERS:
        setattr(account, name, type(getattr(account, name))())
    account.tier_snapshot, account.subscription_expires_at = "core", None
    accounts.save(tx, key, account, policy.tiers, now, [draft], actor=by.actor, reference="erased")
    if account.owed:
        usage.forgiven(tx, now, account.owed)
    accounts.delete(tx, key)


def drop_job(tx: Tx, job_id: str, now: datetime) -> int:
    """The record of a job that has ended, with its work, pieces and answers; how many answers.

    One with very many pieces or answers is ended by the next time.
    """
    row = work.get(tx, job_id)
    if holds.get(tx, job_id) is not None or (row is not None and not row.ended):
        raise busy()
    left = pieces.delete_all(tx, job_id, limit=PIECES) == PIECES
    answers = outputs.keys_of(tx, job_id)
    dropped, _ = outputs.drop(tx, answers, now)
    if not left and len(answers) < outputs.MAX_LISTED:
        tx.delete(work.COLL, job_id)
        tx.delete(jobs.COLL, job_id)
    return dropped


def refuse_busy(tx: ReadTx, key: str) -> None:
    """Raises Conflict while a call of the account runs, or a job of it waits."""
    waiting = tx.scan(work.COLL, "open_at", limit=MAX_OPEN)
    if holds.of_account(tx, key) or any(doc["account"] == key for _, doc in waiting):
        raise busy()


def busy() -> Conflict:
    return Conflict("calls or jobs of this account are running; wait for them, or block the account first", code="busy")


def forget_buyer(order: Order) -> None:
    """An order is part of the books and stays; who made it is not."""
    order.email = order.redirect_url = order.contact = ""


def _forget_buyers(tx: Tx, key: str, before: str | None) -> list[str]:
    """A page of the account's orders; the places of those that were changed, or one to go on behind."""
    page = orders.of_account(tx, key, before, BATCH)
    for order_id, order in page:
        if order.email or order.redirect_url or order.contact:
            forget_buyer(order)
            orders.put(tx, order_id, order)
    return [order.account_at for _, order in page]


def _drop_callbacks(tx: Tx, key: str, seen: list[tuple[str, dict[str, Any]]]) -> int:
    """Messages that would tell a caller's server what came of its job."""
    gone = 0
    for name, doc in seen:
        job = jobs.get(tx, doc["reference"]) if doc["kind"] == "job" else None
        if job is not None and job.account == key:
            gone += outbox.drop(tx, name)
    return gone
