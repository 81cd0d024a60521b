"""The storage suite: a disk that fails. Needs the fixtures `fail_writes` and `fail_syncs`."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from relay.api import StorageFull, StorageUnavailable, Tx
from relay.testing.storage_cases import Faults, Reopen, everything, fill, get, lives, put, race


def change_everything(tx: Tx) -> None:
    tx.put("things", "t0", {"rank": 1000, "name": "changed"})
    tx.put("things", "new", {"rank": 1001})
    tx.delete("things", "t1")
    tx.delete("notes", "note-1")
    tx.put("records", "r0", {"at": 9, "who": "bob"})
    tx.put("records", "new", {"at": 10})
    tx.delete("records", "r1")
    tx.append("log", "a", {"number": "lost"})
    tx.append("log", "new", {"number": "lost"})


class FaultCases:
    def test_a_failed_write_changes_nothing_and_later_ones_work(self, reopen: Reopen, fail_writes: Faults) -> None:
        storage = reopen()
        before = fill(storage)
        with fail_writes(), pytest.raises((StorageFull, StorageUnavailable)):
            storage.transact(change_everything)
        assert storage.read(everything) == before
        assert storage.read(lambda tx: tx.count("things", "rank", 1000)) == 0
        storage.transact(change_everything)
        after = storage.read(everything)
        assert after["log"]["a"][0] == (4, {"number": "lost"})
        for again in lives(storage, reopen):
            assert again.read(everything) == after

    def test_every_commit_of_a_failed_batch_fails(self, reopen: Reopen, fail_writes: Faults) -> None:
        storage = reopen()
        put(storage, "counter", rank=0)

        def increment(tx: Tx) -> None:
            doc = tx.get("things", "counter")
            assert doc is not None
            tx.put("things", "counter", {"rank": doc["rank"] + 1})

        with fail_writes():
            raised = race(lambda _number: storage.transact(increment))
        assert len(raised) == 8
        assert all(isinstance(exc, StorageFull | StorageUnavailable) for exc in raised)
        assert get(storage, "counter") == {"rank": 0}
        storage.transact(increment)
        assert get(reopen(crash=True), "counter") == {"rank": 1}

    def test_a_failed_sync_refuses_writes_and_reads_stay_durable(self, reopen: Reopen, fail_syncs: Faults) -> None:
        storage = reopen()
        before = fill(storage)
        with fail_syncs(), pytest.raises(StorageUnavailable):
            storage.transact(change_everything)
        assert storage.read(everything) == before
        with pytest.raises(StorageUnavailable):
            storage.transact(change_everything)
        with pytest.raises(StorageUnavailable):
            storage.check()
        assert storage.read(everything) == before
        storage.close()
        again = reopen(crash=True)
        for key in ("t2", "t3"):
            assert get(again, key) == dict(before["things"])[key]
        put(again, "works", rank=1)

    def test_no_reader_returns_what_is_taken_back(self, reopen: Reopen, fail_writes: Faults) -> None:
        storage = reopen()
        put(storage, "durable", rank=0)
        outcomes: Counter[str] = Counter()

        def work(number: int) -> None:
            for attempt in range(20):
                try:
                    if number % 2:
                        storage.transact(lambda tx: tx.put("things", f"ghost-{number}", {"rank": attempt}))  # noqa: B023
                    else:
                        ghosts = storage.read(lambda tx: tx.count("things", contains="ghost"))
                        assert ghosts == 0, "a reader saw a change that was never durable"
                        outcomes["read"] += 1
                except (StorageFull, StorageUnavailable):
                    outcomes["failed"] += 1
                time.sleep(0.0005)

        with fail_writes():
            assert race(work) == []
        assert outcomes["failed"] >= 80
        assert storage.read(lambda tx: tx.count("things")) == 1
