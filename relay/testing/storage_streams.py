"""The storage suite: append-only streams, read backwards by partition."""

from __future__ import annotations

from relay.api import ReadTx, Storage, Tx
from relay.testing.storage_cases import Reopen, lives


def append(storage: Storage, partition: str, count: int) -> None:
    for number in range(count):
        storage.transact(lambda tx, number=number: tx.append("log", partition, {"number": number}))  # type: ignore[misc]


class StreamCases:
    def test_entries_are_numbered_from_one_in_each_partition(self, reopen: Reopen) -> None:
        storage = reopen()

        def write(tx: Tx) -> list[int]:
            return [tx.append("log", partition, {"p": partition}) for partition in ("a", "b", "a", "a", "b")]

        assert storage.transact(write) == [1, 1, 2, 3, 2]
        assert storage.transact(write) == [4, 3, 5, 6, 4]
        assert storage.transact(lambda tx: tx.append("other-log", "a", {})) == 1

    def test_a_partition_is_read_newest_first(self, reopen: Reopen) -> None:
        storage = reopen()
        append(storage, "a", 5)
        append(storage, "b", 2)

        def look(tx: ReadTx) -> None:
            assert tx.read("log", "a", limit=2) == [(5, {"number": 4}), (4, {"number": 3})]
            assert tx.read("log", "a", before=3, limit=9) == [(2, {"number": 1}), (1, {"number": 0})]
            assert tx.read("log", "a", before=1, limit=9) == []
            assert tx.read("log", "a", limit=0) == []
            assert tx.read("log", "nobody", limit=9) == []
            assert [n for n, _ in tx.read("log", "b", limit=9)] == [2, 1]

        for again in lives(storage, reopen):
            again.read(look)

    def test_own_appends_are_read_first(self, reopen: Reopen) -> None:
        storage = reopen()
        append(storage, "a", 3)

        def write(tx: Tx) -> None:
            tx.append("log", "a", {"number": 3})
            tx.append("log", "new", {"number": 0})
            assert tx.read("log", "a", limit=2) == [(4, {"number": 3}), (3, {"number": 2})]
            assert tx.read("log", "a", before=4, limit=1) == [(3, {"number": 2})]
            assert sorted(tx.partitions("log")) == ["a", "new"]

        reopen().transact(write)

    def test_partitions_lists_each_name_once(self, reopen: Reopen) -> None:
        storage = reopen()
        for partition in ("a", "b", "a"):
            append(storage, partition, 2)
        for again in lives(storage, reopen):
            assert sorted(again.read(lambda tx: tx.partitions("log"))) == ["a", "b"]
            assert again.read(lambda tx: tx.partitions("other-log")) == []

    def test_old_entries_are_found_after_many_others(self, reopen: Reopen) -> None:
        storage = reopen()

        def write(tx: Tx) -> None:
            for number in range(3000):
                tx.append("log", f"p{number % 7}", {"number": number})

        append(storage, "old", 3)
        for _ in range(2):
            storage.transact(write)
        again = reopen()
        assert again.read(lambda tx: tx.read("log", "old", before=3, limit=1)) == [(2, {"number": 1})]
        everything = again.read(lambda tx: [entry for n in range(7) for entry in tx.read("log", f"p{n}", limit=9999)])
        assert len(everything) == 6000
        assert again.transact(lambda tx: tx.append("log", "old", {"number": 3})) == 4
        assert [n for n, _ in again.read(lambda tx: tx.read("log", "old", limit=9))] == [4, 3, 2, 1]
