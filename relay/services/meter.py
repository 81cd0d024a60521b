"""Hold, call, settle: one credit for one answer, once.

`begin` takes the hold, in one transaction. The call runs with no lock held. `settle` or `release` ends it,
in one transaction. Only an open hold can be settled or released, so whatever is repeated, late or raced
books nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from relay.books import accounts, holds, jobs, usage
from relay.crash import crash_point
from relay.domain import tiers
from relay.domain.accounts import Account, spend, touch
from relay.domain.credits import credits_view, current
from relay.domain.holds import Hold, give_back
from relay.domain.instants import iso, utcnow
from relay.domain.jobs import MAX_ATTEMPTS, SERVER_ID, Attempt, Job, closed, server_id
from relay.domain.ledger import Draft
from relay.domain.tiers import Tier
from relay.errors import RelayError
from relay.ports.auth import Identity
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services import meter_gemini
from relay.services import meter_records as records
from relay.services import meter_refusals as refusals
from relay.services.events import Events
from relay.services.metrics import Metrics
from relay.services.policy import Policy

log = structlog.get_logger("relay.meter")

Inputs = dict[str, int | float | str]
PROMISED_CALLS = 10
"""So often a broken answer may be asked for again under its charge, however few calls a job has."""


@dataclass(slots=True)
class Call:
    """One running call of a job. `job_name`: the caller's id of the job, or the server's.

    `held` waits until the hold is durable. `owner`: who answers for it, a process or `job:<id>`. `attempts` and
    `inputs` go into the job's record when the call ends. `cost`: what it weighs in a backend's queue.
    `promised`: it ends what was charged before. `kept`: bytes that its settlement adds to the output store.
    """

    id: str
    identity: Identity
    job_id: str
    job_name: str
    task: str
    owner: str
    held: Callable[[], None] = lambda: None
    promised: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    inputs: Inputs = field(default_factory=dict)
    cost: float = 1.0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """`charged`: credits this very call cost. `credits`: what is left, in the contract's shape."""

    charged: int
    credits: dict[str, Any]


Also = Callable[[Tx, Call], None]
AlsoSettled = Callable[[Tx, Receipt], None]
"""More to do in the same transaction. It may be run again: tx calls only."""


class Meter:
    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        clock: Callable[[], datetime] = utcnow,
        metrics: Metrics | None = None,
        events: Events | None = None,
    ) -> None:
        self._storage = storage
        self.policy = policy
        self._metrics = metrics or Metrics()
        self._events = events
        self._clock = clock
        self.owner = f"process:{secrets.token_hex(8)}"
        self._running: set[str] = set()

    def begin(
        self, identity: Identity, name: str | None, task: str, also: Also | None = None, *, under: str = ""
    ) -> Call:
        """Take the job's hold, or join it. Raises PaymentRequired, Conflict (job_closed) or Forbidden (blocked).

        Nobody can spend the credit from here on; that the hold is on disk is waited for in `settle`, because a
        crash before that gives it back in either case. `also` is part of the transaction, run before the hold is
        taken: it may change the call's `owner`. `under`: the server id of the paid job that an unfinished answer was
        charged to; its window does not matter then.
        """
        random = secrets.token_hex(20)
        call_id, anonymous = random[:16], f"job_{random[16:]}"
        self._running.add(call_id)

        def begin(tx: Tx) -> Call:
            job_id = under or (anonymous if name is None else self._job_id(tx, identity.account, name))
            call = Call(call_id, identity, job_id, name or job_id, task, self.owner, promised=bool(under))
            if also is not None:
                also(tx, call)
            self._begin(tx, call)
            return call

        try:
            call, held = self._storage.submit(begin)
        except BaseException:
            self._running.discard(call_id)
            raise
        crash_point("meter.held")
        call.held = held
        return call

    def check(self, identity: Identity, name: str | None) -> None:
        """Before something dear is done for a call: raises what `begin` would. Holds nothing."""
        now = self._clock()
        refusal = self._storage.read(lambda tx: self._refusal(tx, identity, name, now))
        if refusal is not None:
            raise refusal

    def _refusal(self, tx: ReadTx, identity: Identity, name: str | None, now: datetime) -> RelayError | None:
        job_id = "" if name is None else self._job_id(tx, identity.account, name)
        job, rule = jobs.get(tx, job_id), self.policy.jobs
        account = current(accounts.get(tx, identity.account), self.policy.tiers, now)
        if account.blocked:
            return refusals.blocked()
        if job is not None and job.paid_at is not None:
            over = closed(job, now, window_hours=rule.free_window_hours, max_calls=rule.max_calls)
            return refusals.job_closed(job.name, self.policy.jobs) if over else None
        if holds.get(tx, job_id) is not None:
            return None
        tier = self.tier(account, identity, now)
        left = tiers.next_bucket(account, tier, allowance=identity.allowance)
        return refusals.nothing_left(self.policy) if left is None else None

    def resume(self, call: Call) -> None:
        """Take up a call that `begin` made before a restart: its hold is this process's business again."""
        self._running.add(call.id)

    def settle(
        self, call: Call, *, backend: str, model: str, cost_class: str, also: AlsoSettled | None = None
    ) -> Receipt:
        """The answer is here: charge the job, unless it is paid. Durable when this returns.

        `also` is part of the transaction and learns the receipt.
        """

        def settle(tx: Tx) -> tuple[Receipt, bool]:
            receipt, late = self._settle(tx, call, backend, model, cost_class)
            if also is not None:
                also(tx, receipt)
            return receipt, late

        try:
            receipt, late = self._storage.transact(settle)
            if late:
                call.held()
                log.warning("late_settle", job=call.job_id, note="the hold was given back before; booked nothing")
        finally:
            self._running.discard(call.id)
        self._metrics.charged(receipt.charged)
        crash_point("meter.settled")
        return receipt

    def release(self, call: Call, error: RelayError | None = None, also: Also | None = None) -> None:
        """The call ended without an answer: give the credit back when no other call of the job runs."""

        def release(tx: Tx) -> None:
            self._release(tx, call, error)
            if also is not None:
                also(tx, call)

        try:
            self._storage.transact(release)
        finally:
            self._running.discard(call.id)
        crash_point("meter.released")

    def claim_gemini(self, call: Call) -> bool:
        """Count the job against the gemini limit before an attempt there; False when that is not possible."""
        return self._storage.transact(lambda tx: meter_gemini.claim(tx, call, call.owner, self.policy, self._clock()))

    def read(self, identity: Identity) -> dict[str, Any]:
        """The caller's `credits` object with `subscription_expires_at`; makes no row."""

        def read(tx: ReadTx) -> dict[str, Any]:
            account = current(accounts.get(tx, identity.account), self.policy.tiers, now)
            view = credits_view(account, self.tier(account, identity, now), allowance=identity.allowance)
            return view | {"subscription_expires_at": iso(account.subscription_expires_at)}

        now = self._clock()
        return self._storage.read(read)

    def tier(self, account: Account, identity: Identity, now: datetime) -> Tier:
        """What the credential grants, else what the row says."""
        granted = self.policy.tiers.get(identity.tier) if identity.tier else None
        return granted or tiers.tier_of(account, self.policy.tiers, now)

    def sweep(self, dead: Callable[[str], bool]) -> int:
        """Give back what dead owners hold, and what this process holds for no running call."""
        swept, after = 0, ""
        while page := self._storage.read(lambda tx, after=after: holds.page(tx, after)):  # type: ignore[misc]
            after = page[-1].job
            for hold in page:
                if lost := self._lost(hold, dead):
                    self._storage.transact(lambda tx, job=hold.job, lost=lost: self._sweep_one(tx, job, lost))  # type: ignore[misc]
                    swept += 1
        return swept

    def _job_id(self, tx: ReadTx, account: str, name: str) -> str:
        """A caller may also name a job by the server's id of a job of its own."""
        if SERVER_ID.fullmatch(name):
            job, hold = jobs.get(tx, name), holds.get(tx, name)
            if account in {job and job.account, hold and hold.account}:
                return name
        return server_id(account, name)

    def _begin(self, tx: Tx, call: Call) -> None:
        now, key = self._clock(), call.identity.account
        account = accounts.get(tx, key)
        if account is not None and account.blocked:
            raise refusals.blocked()
        job = jobs.get(tx, call.job_id)
        if job is not None and job.paid_at is not None:
            self._follow_up(tx, call, job, now)
            return
        hold = holds.get(tx, call.job_id)
        if hold is None:
            self._take(tx, call, account, now)
        else:
            hold.calls[call.id] = call.owner
            holds.put(tx, hold)

    def _follow_up(self, tx: Tx, call: Call, job: Job, now: datetime) -> None:
        rule = self.policy.jobs
        over = closed(job, now, window_hours=rule.free_window_hours, max_calls=rule.max_calls)
        if job.calls >= max(rule.max_calls, PROMISED_CALLS) if call.promised else over:
            raise refusals.job_closed(call.job_name, self.policy.jobs)
        job.calls += 1
        jobs.put(tx, call.job_id, job)

    def _take(self, tx: Tx, call: Call, account: Account | None, now: datetime) -> None:
        key, policy = call.identity.account, self.policy
        account = account or accounts.new(tx, key, now)
        drafts = self._licence_tier(account, call.identity, now)
        drafts += tiers.refresh(account, policy.tiers, now)
        tier = self.tier(account, call.identity, now)
        bucket = tiers.next_bucket(account, tier, allowance=call.identity.allowance)
        if bucket is None:
            raise refusals.nothing_left(self.policy)
        spend(account, bucket)
        account.held += 1
        touch(account, now)
        accounts.save(tx, key, account, policy.tiers, now, drafts, actor="relay")
        cycle = account.cycle_started_at if tier.counts == "monthly" else None
        running = {call.id: call.owner}
        holds.put(tx, Hold(key, call.job_id, bucket, now, running, cycle, name=call.job_name, task=call.task))

    def _licence_tier(self, account: Account, identity: Identity, now: datetime) -> list[Draft]:
        """The row follows the licence. It never was in core, so it carries nothing over."""
        if identity.tier is None or identity.tier == account.tier_snapshot or identity.tier not in self.policy.tiers:
            return []
        return tiers.change_tier(account, self.policy.tiers, identity.tier, now, fresh=True, reason="licence")

    def _settle(self, tx: Tx, call: Call, backend: str, model: str, cost_class: str) -> tuple[Receipt, bool]:
        """The receipt, and whether the hold had been given back before the answer came."""
        now, key = self._clock(), call.identity.account
        account = accounts.get(tx, key) or Account()
        hold, job = holds.get(tx, call.job_id), jobs.get(tx, call.job_id)
        charged, counted, late = 0, False, False
        if job is not None and job.paid_at is not None and call.attempts:
            records.add_attempts(job, call.attempts)
            jobs.put(tx, call.job_id, job)
        if hold is not None and hold.follow_up and cost_class != meter_gemini.COST_CLASS:
            self._end_calls(tx, hold, [c for c in hold.calls if c == call.id], None)
            account = accounts.get(tx, key) or account
        elif hold is not None and call.id in hold.calls:
            if hold.gemini and cost_class != meter_gemini.COST_CLASS:
                room = tiers.allowance_left(account, self.tier(account, call.identity, now)) != 0
                meter_gemini.ended(account, hold, [call.id], room=room)
            charged, counted = self._charge(tx, call, account, hold, job, now, backend, model), True
        else:
            late = job is None or job.paid_at is None
        if not counted and not late:
            # One that was late is counted already, as the abandoned call it was taken for.
            usage.count_entries(
                tx, now, (), fresh=False, counting=lambda row: records.count_answer(row, call, backend, free=True)
            )
        elif late and call.kept and job is not None:
            usage.stored(tx, now, call.kept)
        account = current(account, self.policy.tiers, now)
        view = credits_view(account, self.tier(account, call.identity, now), allowance=call.identity.allowance)
        return Receipt(charged, {"charged": charged} | view), late

    def _charge(
        self,
        tx: Tx,
        call: Call,
        account: Account,
        hold: Hold,
        job: Job | None,
        now: datetime,
        backend: str,
        model: str,
    ) -> int:
        """Turn the hold into entries. 0 when the job was paid and only gemini was held."""
        key = call.identity.account
        if hold.follow_up:
            drafts = meter_gemini.charge_follow_up(account, hold, job)
        else:
            drafts = [records.charge_draft(hold, call.task)]
            account.held -= 1
            if self._events is not None:
                self._events.spent(tx, key, account, self.tier(account, call.identity, now), 1, call.job_id)
        if hold.follow_up and job is not None:
            job.gemini = hold.gemini or job.gemini
            job.bucket = hold.bucket or job.bucket
        else:
            job = records.paid_job(call, hold, now, backend, model)
        holds.delete(tx, hold)
        touch(account, now)
        accounts.save(
            tx,
            key,
            account,
            self.policy.tiers,
            now,
            drafts,
            actor=key,
            reference=call.job_id,
            counting=lambda row: records.count_answer(row, call, backend, free=hold.follow_up),
        )
        if drafts:
            job.entry = account.entries
        jobs.put(tx, call.job_id, job)
        return 0 if hold.follow_up else 1

    def _release(self, tx: Tx, call: Call, error: RelayError | None) -> None:
        job = jobs.get(tx, call.job_id)
        if job is not None and job.paid_at is not None:
            job.calls = max(1, job.calls - 1)
            records.add_attempts(job, call.attempts)
            jobs.put(tx, call.job_id, job)
        hold = holds.get(tx, call.job_id)
        if hold is not None and call.id in hold.calls:
            hold.attempts = [*hold.attempts, *call.attempts][-MAX_ATTEMPTS:]
            self._end_calls(tx, hold, [call.id], error, call.inputs)
        elif job is None or job.paid_at is None:
            return
        usage.failed(tx, self._clock(), call.task, records.ABANDONED if error is None else error.code)

    def _end_calls(
        self, tx: Tx, hold: Hold, calls: list[str], error: RelayError | None, inputs: Inputs | None = None
    ) -> None:
        now = self._clock()
        account = accounts.get(tx, hold.account) or Account()
        for call_id in calls:
            del hold.calls[call_id]
        if hold.calls:
            tier = tiers.tier_of(account, self.policy.tiers, now)
            room = tiers.allowance_left(account, tier) != 0
            meter_gemini.ended(account, hold, calls, room=room)
            holds.put(tx, hold)
        else:
            give_back(account, hold)
            holds.delete(tx, hold)
            if not hold.follow_up:
                jobs.put(tx, hold.job, records.failed_job(hold, error, inputs or {}, now))
        accounts.save(tx, hold.account, account, self.policy.tiers, now)

    def _lost(self, hold: Hold, dead: Callable[[str], bool]) -> list[str]:
        return [
            call_id
            for call_id, owner in hold.calls.items()
            if dead(owner) or (owner == self.owner and call_id not in self._running)
        ]

    def _sweep_one(self, tx: Tx, job: str, lost: list[str]) -> None:
        hold = holds.get(tx, job)
        if hold is not None and (still := [call_id for call_id in lost if call_id in hold.calls]):
            self._end_calls(tx, hold, still, None)
            usage.failed(tx, self._clock(), hold.task, records.ABANDONED, len(still))
