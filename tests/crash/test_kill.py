"""kill -9 anywhere: every answer a client received is charged, every other credit comes back, the books balance."""

import random
import re
import time
from pathlib import Path

import pytest
import urllib3

from tests.crash.harness import CREDITS, Callers, Nursery, assert_figures_agree, call, credits_of, ledger_verify

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("relay/**/*.py"), *ROOT.glob("plugins/**/*.py")]
ALL = sorted({name for path in SOURCES for name in re.findall(r'crash_point\("([^"]+)"\)', path.read_text())})
ELSEWHERE = ("checkout.", "jsonfile.compact", "idempotency.", "jobs.", "meetings.", "outbox.", "renewals.", "settle.")
"""Points that plain calls never reach: they have tests of their own."""
POINTS = [name for name in ALL if not name.startswith(ELSEWHERE)]
ROUNDS = 50


@pytest.fixture
def nursery(tmp_path):
    with Nursery(tmp_path) as nursery:
        yield nursery


def test_the_points_between_hold_call_settle_and_reply_exist():
    assert {"meter.held", "infer.calling", "infer.answered", "meter.settled", "meter.released"} <= set(POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_named_point_loses_and_doubles_nothing(nursery, point):
    callers = Callers()
    end = callers.run(nursery.start(f"{point}:2"))
    reached = nursery.wait(20)
    end()
    assert reached, f"{point} was never reached"
    settle_accounts(nursery, callers)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.timeout(300)
def test_kills_at_random_moments_under_load_lose_and_double_nothing(nursery, seed):
    rng, callers = random.Random(seed), Callers()
    for _ in range(ROUNDS):
        url = nursery.start()
        check_counts(url, callers)
        end = callers.run(url)
        time.sleep(rng.uniform(0, 0.15))
        nursery.kill()
        end()
    assert callers.answered
    settle_accounts(nursery, callers)


def check_counts(url: str, callers: Callers) -> None:
    """After a restart: nothing is held, what was received is charged, and no more than could have been answered."""
    seen = credits_of(url)
    charged = CREDITS - seen["total"]
    assert seen["held"] == 0
    assert len(callers.answered) <= charged <= len(callers.answered) + len(callers.unknown)


def settle_accounts(nursery: Nursery, callers: Callers) -> None:
    url = nursery.start()
    check_counts(url, callers)
    assert ledger_verify(nursery.folder).returncode == 0
    with urllib3.PoolManager(retries=False) as pool:
        before = credits_of(url)["total"]
        for number in sorted(callers.answered)[:50]:
            assert call(pool, url, number, "again") == 200
        assert credits_of(url)["total"] == before, "a job whose answer was received is paid"
        for number in callers.unknown | callers.failed:
            assert call(pool, url, number, "again") == 200
    jobs = len(callers.answered) + len(callers.unknown) + len(callers.failed)
    assert CREDITS - credits_of(url)["total"] == jobs, "each job is charged exactly once"
    nursery.kill()
    report = ledger_verify(nursery.folder)
    assert report.returncode == 0, report.stdout
    assert_figures_agree(nursery.folder)
