"""Random interleavings of everything that moves a credit, against the plain model."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from relay.errors import PaymentRequired
from relay.settings import JobSettings, TierSettings
from tests.core.books import Books
from tests.core.model_ledger import CORE, PRO, Model

TIERS = {"core": TierSettings(lifetime_credits=CORE), "pro": TierSettings(monthly_credits=PRO, period_days=30)}
JOBS = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])


class BooksAgainstModel(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize()
    def open(self) -> None:
        self.books, self.model, self.row = Books(TIERS, jobs=JobSettings(free_window_hours=10**5)), Model(), False

    @rule(target=calls, job=JOBS)
    def begin(self, job):
        self.model.tick(self.books.now)
        try:
            call = self.books.begin(job=job)
        except PaymentRequired:
            assert not self.model.begin(job, "none")
            return None
        self.row = True
        assert self.model.begin(job, call.id)
        return call

    @rule(call=consumes(calls))
    def settle(self, call):
        if call is not None:
            assert self.books.settle(call).charged == self.model.settle(call.job_name, call.id)

    @rule(call=calls)
    def settle_and_keep_for_a_second_try(self, call):
        if call is not None:
            assert self.books.settle(call).charged == self.model.settle(call.job_name, call.id)

    @rule(call=consumes(calls))
    def release(self, call):
        if call is not None:
            self.books.meter.release(call)
            self.model.release(call.job_name, call.id)

    @rule()
    def crash(self):
        self.books.restart()
        for job, (_, _, running) in list(self.model.holds.items()):
            for call in list(running):
                self.model.release(job, call)

    @rule(amount=st.integers(1, 3))
    def grant(self, amount):
        self.books.credits.grant("user:u", amount, reason="", actor="test", make_row=True)
        self.model.bought += amount
        self.row = True

    @rule(days=st.sampled_from([None, 10, 45, 200]))
    def set_pro(self, days):
        self.model.tick(self.books.now)
        self.books.credits.set_tier("user:u", "pro", days, actor="test")
        until = None if days is None else self.books.now + timedelta(days=days)
        self.model.to_pro(self.books.now, until, fresh=not self.row)
        self.row = True

    @rule(days=st.sampled_from([10, 30]))
    def extend_pro(self, days):
        self.model.tick(self.books.now)
        self.books.credits.extend_tier("user:u", "pro", days, actor="test")
        until = (self.model.pro_until or self.books.now) + timedelta(days=days)
        endless = self.model.pro and self.model.pro_until is None
        self.model.to_pro(self.books.now, None if endless else until, fresh=not self.row)
        self.row = True

    @rule(days=st.sampled_from([1, 12, 29, 30, 31, 95]))
    def later(self, days):
        self.books.later(days=days)

    @rule(job=JOBS)
    def refund(self, job):
        job_id = self.books.meter._job_id(_Nothing(), "user:u", job)
        refunded = self.books.credits.refund(job_id, reason="test", actor="test")
        assert refunded == (job in self.model.paid)
        if refunded:
            self.model.tick(self.books.now)
            self.model.refund(job)

    @invariant()
    def the_books_agree(self):
        if not hasattr(self, "books"):
            return
        self.model.tick(self.books.now)
        seen = self.books.read()
        held = len(self.model.holds)
        assert (seen["remaining"], seen["purchased"], seen["held"]) == (self.model.left(), self.model.bought, held)
        assert seen["total"] == self.model.left() + self.model.bought >= 0
        self.books.verified()


class _Nothing:
    def get(self, _coll, _key):
        return None


BooksAgainstModel.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBooksAgainstModel = pytest.mark.timeout(300)(BooksAgainstModel.TestCase)
