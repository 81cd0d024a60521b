"""Random interleavings of everything that moves a credit, against the plain model."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from relay.errors import Conflict, NotFound, PaymentRequired
from relay.services.account_admin import AccountAdmin, By
from relay.services.erasing import Erasing
from relay.settings import JobSettings, TierSettings
from tests.core.books import Books
from tests.core.model_ledger import CORE, PRO, Model

TIERS = {"core": TierSettings(lifetime_credits=CORE), "pro": TierSettings(monthly_credits=PRO, period_days=30)}
BY = By("admin", "a test")
JOBS = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])


class BooksAgainstModel(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize()
    def open(self) -> None:
        self.books, self.model, self.row = Books(TIERS, jobs=JobSettings(free_window_hours=10**5)), Model(), False
        clock = lambda: self.books.now  # noqa: E731
        self.admin = AccountAdmin(self.books.storage, self.books.policy, clock)
        self.erasing = Erasing(self.books.storage, self.books.policy, (), clock)
        self.moved = 0

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

    @rule(amount=st.integers(1, 3))
    def debit(self, amount):
        if self.row and amount <= self.model.bought:
            self.admin.debit("user:u", amount, BY, nothing)
            self.model.bought -= amount
        else:
            with pytest.raises((Conflict, NotFound)):
                self.admin.debit("user:u", amount, BY, nothing)

    @rule(amount=st.sampled_from([None, 1, 2]))
    def move_away(self, amount):
        moved = self.model.bought if amount is None else amount
        if self.row and 1 <= moved <= self.model.bought:
            self.admin.move("user:u", "user:v", amount, BY, nothing)
            self.model.bought, self.moved = self.model.bought - moved, self.moved + moved
        else:
            with pytest.raises((Conflict, NotFound)):
                self.admin.move("user:u", "user:v", amount, BY, nothing)

    @precondition(lambda self: self.moved > 0)
    @rule()
    def move_back(self):
        self.admin.move("user:v", "user:u", None, BY, nothing)
        self.model.bought, self.moved = self.model.bought + self.moved, 0
        self.row = True

    @precondition(lambda self: self.row)
    @rule()
    def erase(self):
        if self.model.holds:
            with pytest.raises(Conflict):
                self.erasing.erase("user:u", BY, nothing)
        else:
            self.erasing.erase("user:u", BY, nothing)
            self.model, self.row = Model(), False

    @precondition(lambda self: self.moved > 0)
    @rule()
    def erase_the_other(self):
        self.erasing.erase("user:v", BY, nothing)
        self.moved = 0

    @invariant()
    def the_books_agree(self):
        if not hasattr(self, "books"):
            return
        self.model.tick(self.books.now)
        seen = self.books.read()
        held = len(self.model.holds)
        assert (seen["remaining"], seen["purchased"], seen["held"]) == (self.model.left(), self.model.bought, held)
        assert self.books.read("user:v")["purchased"] == self.moved
        assert seen["total"] == self.model.left() + self.model.bought >= 0
        self.books.verified()


def nothing(_tx, *_more):
    pass


class _Nothing:
    def get(self, _coll, _key):
        return None


BooksAgainstModel.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBooksAgainstModel = pytest.mark.timeout(300)(BooksAgainstModel.TestCase)
