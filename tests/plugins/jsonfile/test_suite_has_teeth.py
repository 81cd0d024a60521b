"""The suite fails for a storage with one part taken out, and passes for the same storage with it."""

from contextlib import nullcontext

import pytest
from relay_jsonfile import JSONFileStorage, journal
from relay_jsonfile.memory import Memory
from relay_jsonfile.view import View

from relay.testing.storage import StorageConformance
from tests.plugins.jsonfile.disk import Reopener


class WithoutLock(JSONFileStorage):
    def _memory_lock(self):
        return nullcontext()


class WithHastyReaders(JSONFileStorage):
    """Readers do not wait until what they saw is durable."""

    def read(self, fn):
        with self._memory.lock:
            return fn(View(self._memory.tables, self._memory.streams, {}, last_try=True))


@pytest.fixture
def made_of(disk):
    made = []

    def made_of(kind):
        made.append(Reopener(disk, kind))
        return made[-1]

    yield made_of
    for reopener in made:
        reopener.close()


CASES = StorageConformance()


def test_without_the_lock_increments_are_lost(made_of):
    with pytest.raises(AssertionError):
        CASES.test_racing_increments_lose_nothing(made_of(WithoutLock))


def test_without_the_fsync_an_acknowledged_change_is_lost(made_of, monkeypatch):
    monkeypatch.setattr(journal, "data_sync", lambda fd: None)
    with pytest.raises(AssertionError):
        CASES.test_a_crash_keeps_every_acknowledged_change(made_of(JSONFileStorage))


def test_without_the_rollback_a_failed_write_stays_visible(made_of, disk, monkeypatch):
    monkeypatch.setattr(Memory, "take_back", lambda memory, commits: setattr(memory, "newest", None))
    with pytest.raises(AssertionError):
        CASES.test_a_failed_write_changes_nothing_and_later_ones_work(
            made_of(JSONFileStorage), lambda: disk.failing("fail_writes")
        )


def test_hasty_readers_see_what_is_taken_back(made_of, disk):
    with pytest.raises(AssertionError):
        CASES.test_no_reader_returns_what_is_taken_back(made_of(WithHastyReaders), lambda: disk.failing("fail_writes"))


def test_with_all_parts_the_same_cases_pass(made_of, disk):
    def fail_writes():
        return disk.failing("fail_writes")

    CASES.test_racing_increments_lose_nothing(made_of(JSONFileStorage))
    disk.root /= "second"
    CASES.test_a_crash_keeps_every_acknowledged_change(made_of(JSONFileStorage))
    disk.root /= "third"
    CASES.test_a_failed_write_changes_nothing_and_later_ones_work(made_of(JSONFileStorage), fail_writes)
    disk.root /= "fourth"
    CASES.test_no_reader_returns_what_is_taken_back(made_of(JSONFileStorage), fail_writes)
