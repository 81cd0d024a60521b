"""The line of waiting jobs."""

import threading

import pytest

from relay.services.jobs.line import Line, LineFull


def line_of(*jobs, limit=100, per_account=100):
    line = Line(limit, per_account)
    for job in jobs:
        line.restore(job[0], job)
    return line


def drained(line):
    return [line.take() for _ in line.positions()]


def test_accounts_take_turns_and_each_keeps_its_own_order():
    assert drained(line_of("a1", "a2", "a3", "b1", "b2", "c1")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_positions_are_the_order_they_are_taken_in():
    line = line_of("a1", "a2", "b1", "a3", "c1", "b2")
    positions = line.positions()
    assert drained(line) == sorted(positions, key=positions.get)


def test_a_reserved_place_counts_until_it_is_used_or_given_up():
    line = line_of("a1", limit=3, per_account=2)
    assert line.reserve("a") == 2
    with pytest.raises(LineFull):
        line.reserve("a")
    assert line.reserve("b") == 2
    with pytest.raises(LineFull):
        line.reserve("c")
    line.give_up("b")
    line.reserve("c")
    line.put("a", "a2")
    line.put("c", "c1")
    assert drained(line) == ["a1", "c1", "a2"]


def test_what_was_restored_fits_whatever_the_limits():
    line = line_of("a1", "a2", "a3", limit=1, per_account=1)
    assert len(line.positions()) == 3
    with pytest.raises(LineFull):
        line.reserve("b")


def test_a_removed_job_is_not_taken_and_removing_it_again_is_harmless():
    line = line_of("a1", "a2", "b1")
    line.remove("a1")
    line.remove("a1")
    assert line.positions() == {"a2": 1, "b1": 2}


def test_a_closed_line_wakes_everybody_who_waits():
    line, got = Line(1, 1), []
    threads = [threading.Thread(target=lambda: got.append(line.take())) for _ in range(4)]
    for thread in threads:
        thread.start()
    line.close()
    for thread in threads:
        thread.join(10)
    assert got == [None] * 4
