"""The storage suite: isolation, atomicity, durability."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from relay.api import AlreadyExists, ReadTx, StorageUnavailable, Tx
from relay.testing.storage_cases import Reopen, everything, fill, get, put, race


class Interrupted(Exception):
    pass


class TransactionCases:
    def test_what_was_put_can_be_read(self, reopen: Reopen) -> None:
        storage = reopen()
        put(storage, "a", rank=1, nested={"list": [1, 2.5, None, True, "x"]})
        assert get(storage, "a") == {"rank": 1, "nested": {"list": [1, 2.5, None, True, "x"]}}
        assert get(storage, "b") is None

    def test_transact_returns_what_the_function_returns(self, reopen: Reopen) -> None:
        assert reopen().transact(lambda _tx: 17) == 17

    def test_racing_increments_lose_nothing(self, reopen: Reopen) -> None:
        storage = reopen()

        def increment(tx: Tx) -> None:
            doc = tx.get("things", "counter") or {"rank": 0}
            time.sleep(0.0002)  # gives way in the middle: without isolation, increments are lost
            tx.put("things", "counter", {"rank": doc["rank"] + 1})
            tx.append("log", "counter", {"rank": doc["rank"] + 1})

        def work(_number: int) -> None:
            for _ in range(15):
                storage.transact(increment)

        assert race(work) == []
        assert get(storage, "counter") == {"rank": 120}
        entries = storage.read(lambda tx: tx.read("log", "counter", limit=200))
        assert entries == [(n, {"rank": n}) for n in range(120, 0, -1)]

    def test_a_read_is_a_consistent_view(self, reopen: Reopen) -> None:
        storage = reopen()
        put(storage, "left", rank=50)
        put(storage, "right", rank=50)
        done = threading.Event()

        def move(tx: Tx) -> None:
            left, right = tx.get("things", "left"), tx.get("things", "right")
            assert left is not None
            assert right is not None
            tx.put("things", "left", {"rank": left["rank"] - 1})
            tx.put("things", "right", {"rank": right["rank"] + 1})

        def total(tx: ReadTx) -> int:
            left = tx.get("things", "left")
            time.sleep(0.0002)
            right = tx.get("things", "right")
            assert left is not None
            assert right is not None
            return int(left["rank"] + right["rank"])

        def work(number: int) -> None:
            if number == 0:
                for _ in range(40):
                    storage.transact(move)
                done.set()
            while not done.is_set():
                assert storage.read(total) == 100

        assert race(work, threads=4) == []

    def test_a_function_that_may_run_twice_ends_with_one_result(self, reopen: Reopen) -> None:
        storage = reopen()
        put(storage, "a", rank=0)
        first_run = threading.Event()
        other_done = threading.Event()

        def slow(tx: Tx) -> int:
            doc = tx.get("things", "a")
            assert doc is not None
            first_run.set()
            other_done.wait(0.2)  # time for the other commit to get in between, where the storage lets it
            tx.put("things", "a", {"rank": doc["rank"] + 10})
            return int(doc["rank"] + 10)

        def work(number: int) -> None:
            if number == 0:
                assert storage.transact(slow) in {10, 11}
            else:
                first_run.wait(5)
                storage.transact(lambda tx: tx.put("things", "a", {"rank": (tx.get("things", "a") or {})["rank"] + 1}))
                other_done.set()

        assert race(work, threads=2) == []
        assert get(storage, "a") == {"rank": 11}

    def test_an_exception_discards_everything(self, reopen: Reopen) -> None:
        storage = reopen()
        before = fill(storage)

        def broken(tx: Tx) -> None:
            tx.put("things", "t0", {"rank": 99})
            tx.put("things", "new", {"rank": 98})
            tx.delete("things", "t1")
            tx.append("log", "a", {"number": 99})
            tx.append("log", "new", {"number": 99})
            raise Interrupted

        with pytest.raises(Interrupted):
            storage.transact(broken)
        assert storage.read(everything) == before
        assert storage.transact(lambda tx: tx.append("log", "a", {"number": 3})) == 4

    def test_an_insert_race_has_one_winner(self, reopen: Reopen) -> None:
        storage = reopen()
        won: list[int] = []

        def work(number: int) -> None:
            storage.transact(lambda tx: tx.insert("seen", "event", {"value": str(number)}))
            won.append(number)

        raised = race(work)
        assert [type(exc) for exc in raised] == [AlreadyExists] * 7
        assert storage.read(lambda tx: tx.get("seen", "event")) == {"value": str(won[0])}

    def test_insert_sees_what_the_transaction_itself_did(self, reopen: Reopen) -> None:
        storage = reopen()
        put(storage, "a", rank=1)

        def again(tx: Tx) -> None:
            tx.delete("things", "a")
            tx.insert("things", "a", {"rank": 2})
            with pytest.raises(AlreadyExists):
                tx.insert("things", "a", {"rank": 3})

        storage.transact(again)
        assert get(storage, "a") == {"rank": 2}

    def test_deleting_what_is_not_there_does_nothing(self, reopen: Reopen) -> None:
        storage = reopen()
        storage.transact(lambda tx: tx.delete("things", "nobody"))
        assert storage.read(lambda tx: tx.count("things")) == 0

    def test_documents_are_copies(self, reopen: Reopen) -> None:
        storage = reopen()
        mine: dict[str, Any] = {"rank": 1, "list": [1]}

        def write(tx: Tx) -> None:
            tx.put("things", "a", mine)
            mine["list"].append(2)
            seen = tx.get("things", "a")
            assert seen == {"rank": 1, "list": [1]}
            seen["list"].append(3)
            assert tx.get("things", "a") == {"rank": 1, "list": [1]}
            mine["list"].remove(2)

        storage.transact(write)
        first = get(storage, "a")
        assert first is not None
        first["list"].append(4)
        assert get(storage, "a") == {"rank": 1, "list": [1]}

    def test_a_clean_close_keeps_everything(self, reopen: Reopen) -> None:
        before = fill(reopen())
        assert reopen().read(everything) == before
        assert reopen().read(everything) == before

    def test_a_crash_keeps_every_acknowledged_change(self, reopen: Reopen) -> None:
        storage = reopen()
        before = fill(storage)
        put(storage, "later", rank=7)
        again = reopen(crash=True)
        assert get(again, "later") == {"rank": 7}
        again.transact(lambda tx: tx.delete("things", "later"))
        assert again.read(everything) == before
        assert reopen(crash=True).read(everything) == before
        assert reopen().read(everything) == before

    def test_work_goes_on_after_a_crash(self, reopen: Reopen) -> None:
        for number in range(1, 4):
            storage = reopen(crash=number > 1)
            assert storage.transact(lambda tx: tx.append("log", "a", {"x": "y" * 100})) == number
        assert reopen().read(lambda tx: len(tx.read("log", "a", limit=9))) == 3

    def test_a_closed_storage_says_so(self, reopen: Reopen) -> None:
        storage = reopen()
        storage.close()
        storage.close()
        with pytest.raises(StorageUnavailable):
            put(storage, "a", rank=1)

    def test_a_healthy_storage_passes_its_check(self, reopen: Reopen) -> None:
        storage = reopen()
        storage.check()
        assert dict(storage.outside_changes()) == {}

    def test_an_unknown_collection_or_stream_is_refused(self, reopen: Reopen) -> None:
        storage = reopen()
        with pytest.raises(KeyError):
            storage.transact(lambda tx: tx.put("nothing", "a", {}))
        with pytest.raises(KeyError):
            storage.transact(lambda tx: tx.append("nothing", "a", {}))

    def test_an_indexed_field_is_text_or_an_int(self, reopen: Reopen) -> None:
        storage = reopen()
        with pytest.raises(TypeError):
            storage.transact(lambda tx: tx.put("things", "a", {"rank": [1]}))
        assert get(storage, "a") is None
