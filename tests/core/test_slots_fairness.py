"""Who is next: fair across accounts, whatever each of them has waiting."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.services.fair_line import FairLine


@dataclass(eq=False)
class Entry:
    account: str
    cost: float = 1.0


def line_of(*entries: Entry) -> FairLine[Entry]:
    line: FairLine[Entry] = FairLine()
    for entry in entries:
        line.push(entry)
    return line


def order(line: FairLine[Entry]) -> str:
    return "".join(entry.account for entry in line.in_order())


def test_one_waiting_call_is_served_second_at_the_latest_however_many_somebody_else_has() -> None:
    line = line_of(*[Entry("A") for _ in range(30)], Entry("B"))
    assert order(line)[:2] == "AB"


@given(served=st.integers(0, 29))
def test_a_newcomer_waits_for_one_call_of_each_other_account(served: int) -> None:
    line = line_of(*[Entry("A") for _ in range(30)], *[Entry("C") for _ in range(30)])
    for _ in range(served):
        line.pop()
    line.push(Entry("B"))
    assert "B" in order(line)[:3]


def test_accounts_take_turns() -> None:
    line = line_of(Entry("A"), Entry("A"), Entry("A"), Entry("B"), Entry("B"), Entry("C"))
    assert order(line) == "ABCABA"


def test_a_costly_call_takes_as_many_turns_as_it_costs() -> None:
    line = line_of(Entry("H", 10.0), *[Entry("L") for _ in range(20)])
    assert order(line).index("H") == 9
    line = line_of(Entry("H", 2.5), Entry("H", 2.5), *[Entry("L") for _ in range(9)])
    assert order(line) == "LLHLLHLLLLL"


def test_a_long_recording_does_not_wait_for_turns_that_nobody_else_wants() -> None:
    line = line_of(Entry("A", 1440.0), Entry("B", 700.0))
    assert order(line) == "BA"


def test_what_was_saved_for_a_call_that_left_does_not_pay_for_the_next_one() -> None:
    costly = Entry("A", 100.0)
    line = line_of(costly, Entry("A", 40.0), *[Entry("B") for _ in range(150)])
    for _ in range(50):
        assert line.pop().account == "B"
    line.remove(costly)
    assert order(line).index("A") == 39


def test_the_outlook_is_what_then_happens() -> None:
    line = line_of(Entry("A", 3.0), Entry("B"), Entry("A"), Entry("C", 2.0))
    position, ahead = line.outlook("B", 1.5)
    newcomer = Entry("B", 1.5)
    line.push(newcomer)
    served = list(line.in_order())
    assert served.index(newcomer) == position - 1
    assert sum(entry.cost for entry in served[: position - 1]) == ahead


def test_nobody_waits_in_an_empty_line() -> None:
    line = line_of()
    with pytest.raises(IndexError):
        line.pop()
    with pytest.raises(ValueError, match="not in line"):
        line.remove(Entry("A"))


ACCOUNTS = st.sampled_from("ABCDE")
COSTS = st.one_of(st.just(1.0), st.floats(1.0, 50.0))


@given(st.lists(st.builds(Entry, ACCOUNTS, COSTS), max_size=30))
def test_skipping_idle_rounds_changes_nothing(entries: list[Entry]) -> None:
    queues: dict[str, list[Entry]] = {}
    for entry in entries:
        queues.setdefault(entry.account, []).append(entry)
    saved, served, ring = dict.fromkeys(queues, 0.0), [], list(queues)
    while ring:
        account = ring.pop(0)
        saved[account] += 1
        if saved[account] >= queues[account][0].cost:
            served.append(queues[account].pop(0))
            saved[account] -= served[-1].cost
        ring += [account] if queues[account] else []
    assert list(line_of(*entries).in_order()) == served


class Line(RuleBasedStateMachine):
    """Whatever comes, leaves and is served: nobody is lost, nobody is served twice, and no account gets more than
    its share while another one waits."""

    @initialize()
    def begin(self) -> None:
        self.line: FairLine[Entry] = FairLine()
        self.waiting: list[Entry] = []
        self.behind: dict[str, float] = {}

    @rule(account=ACCOUNTS, cost=COSTS)
    def comes(self, account: str, cost: float) -> None:
        entry = Entry(account, cost)
        self.line.push(entry)
        self.waiting.append(entry)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(entry)
        self.line.remove(entry)
        self.forget(entry.account)

    def forget(self, account: str) -> None:
        for key in [key for key in self.behind if key.startswith(f"{account}<")]:
            del self.behind[key]

    @precondition(lambda self: self.waiting)
    @rule()
    def is_served(self) -> None:
        promised = next(self.line.in_order())
        entry = self.line.pop()
        assert entry is promised
        assert entry is next(other for other in self.waiting if other.account == entry.account), "first come"
        self.waiting.remove(entry)
        heads = {other.account: other.cost for other in reversed(self.waiting) if other.account != entry.account}
        # While an account waits for its oldest call, another one gets at most that call's cost, a turn and a call more.
        for account, cost in heads.items():
            key = f"{account}<{entry.account}"
            self.behind[key] = self.behind.get(key, 0.0) + entry.cost
            assert self.behind[key] <= cost + 1 + 50, key
        self.forget(entry.account)

    @rule(account=ACCOUNTS)
    def somebody_asks_how_long_it_takes(self, account: str) -> None:
        before = order(self.line)
        position, _ = self.line.outlook(account, 1.0)
        assert 1 <= position <= len(self.line) + 1
        assert order(self.line) == before

    @invariant()
    def everybody_is_in_line(self) -> None:
        assert len(self.line) == len(self.waiting)
        assert sorted(map(id, self.line.in_order())) == sorted(map(id, self.waiting))
        for account in "ABCDE":
            assert self.line.of(account) == sum(entry.account == account for entry in self.waiting)


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
