"""The storage suite: changes that everybody sees before they are durable."""

from __future__ import annotations

import contextlib

import pytest

from relay.api import StorageFull, StorageUnavailable, Tx
from relay.testing.storage_cases import Faults, Reopen, get, lives, put, race


class SubmitCases:
    def test_a_submitted_change_is_seen_at_once_and_kept_when_waited_for(self, reopen: Reopen) -> None:
        storage = reopen()
        result, durable = storage.submit(lambda tx: tx.append("log", "a", {"n": 1}))
        assert result == 1
        durable()
        durable()
        for again in lives(storage, reopen):
            assert again.read(lambda tx: tx.read("log", "a", limit=9)) == [(1, {"n": 1})]

    def test_a_transaction_takes_what_was_submitted_before_along(self, reopen: Reopen) -> None:
        storage = reopen()
        storage.submit(lambda tx: tx.put("things", "k", {"rank": 1}))
        put(storage, "other", rank=2)
        again = reopen(crash=True)
        assert (get(again, "k"), get(again, "other")) == ({"rank": 1}, {"rank": 2})

    def test_what_a_reader_saw_of_a_submitted_change_is_kept(self, reopen: Reopen) -> None:
        storage = reopen()
        storage.submit(lambda tx: tx.put("things", "k", {"rank": 1}))
        assert get(storage, "k") == {"rank": 1}
        assert get(reopen(crash=True), "k") == {"rank": 1}

    def test_an_exception_discards_what_was_to_be_submitted(self, reopen: Reopen) -> None:
        storage = reopen()

        def fail(tx: Tx) -> None:
            tx.put("things", "k", {"rank": 1})
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            storage.submit(fail)
        assert get(storage, "k") is None

    def test_racing_submits_lose_nothing(self, reopen: Reopen) -> None:
        storage = reopen()
        put(storage, "counter", rank=0)

        def add(tx: Tx) -> None:
            doc = tx.get("things", "counter")
            assert doc is not None
            tx.put("things", "counter", {"rank": doc["rank"] + 1})

        def work(number: int) -> None:
            for _ in range(25):
                if number % 2:
                    storage.transact(add)
                else:
                    storage.submit(add)

        assert race(work) == []
        for again in lives(storage, reopen):
            assert get(again, "counter") == {"rank": 200}

    def test_a_failed_write_is_told_to_whoever_waits_for_a_submitted_change(
        self, reopen: Reopen, fail_writes: Faults
    ) -> None:
        storage = reopen()
        put(storage, "k", rank=0)
        told = []
        with fail_writes(), contextlib.suppress(StorageFull, StorageUnavailable):
            _, durable = storage.submit(lambda tx: tx.put("things", "k", {"rank": 1}))
            told.append("accepted")
            durable()
            told.append("durable")
        assert "durable" not in told
        assert get(storage, "k") == {"rank": 0}
