"""The in-memory fake passes the suite of real storages, and finds functions that do more than tx calls."""

import threading
from contextlib import contextmanager

import pytest

from relay.errors import StorageFull
from relay.testing.memory import MemoryDisk, MemoryStorage
from relay.testing.storage import COLLECTIONS, STREAMS, StorageConformance


class TestMemoryStorage(StorageConformance):
    @pytest.fixture
    def disk(self):
        return MemoryDisk()

    @pytest.fixture
    def reopen(self, disk, tmp_path):
        opened = []

        def reopen(*, crash=False):
            if opened and not crash:
                opened[-1].close()
            storage = MemoryStorage(disk)
            storage.open(tmp_path, COLLECTIONS, STREAMS)
            opened.append(storage)
            return storage

        return reopen

    @pytest.fixture
    def fail_writes(self, disk):
        @contextmanager
        def fail_writes():
            disk.failure = StorageFull("the disk is full")
            try:
                yield
            finally:
                disk.failure = None

        return fail_writes


def opened(**options):
    storage = MemoryStorage(**options)
    storage.open(None, COLLECTIONS, STREAMS)
    return storage


def test_a_commit_in_between_runs_the_function_again(tmp_path):
    storage = opened()
    runs = []

    def slow(tx):
        runs.append(1)
        tx.get("things", "a")
        if len(runs) == 1:
            other = threading.Thread(target=storage.transact, args=(lambda tx: tx.put("things", "a", {"rank": 1}),))
            other.start()
            other.join(10)
        tx.append("log", "a", {})

    storage.transact(slow)
    assert len(runs) == 2
    assert storage.read(lambda tx: tx.read("log", "a", limit=5)) == [(1, {})]


def test_run_twice_finds_a_function_with_a_side_effect():
    storage = opened(run_twice=True)
    counted = []
    storage.transact(lambda tx: counted.append(1))
    assert len(counted) == 2


def test_two_storages_share_nothing_without_a_shared_disk():
    one, two = opened(), opened()
    one.transact(lambda tx: tx.put("things", "a", {}))
    assert two.read(lambda tx: tx.get("things", "a")) is None
