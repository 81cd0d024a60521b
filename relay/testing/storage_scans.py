"""The storage suite: ordered scans and counts, and how a transaction's own writes show in them."""

from __future__ import annotations

import pytest

from relay.api import ReadTx, Storage, Tx
from relay.testing.storage_cases import Reopen, lives

ROWS = {"b": 10, "a": 20, "C1": 10, "c2": 30, "Cab": None, "d": 40}


def ranked(storage: Storage) -> None:
    def write(tx: Tx) -> None:
        for key, rank in ROWS.items():
            tx.put("things", key, {"rank": rank, "name": f"name of {key}"})
        tx.put("things", "bare", {})

    storage.transact(write)


def keys(rows: list[tuple[str, dict[str, object]]]) -> list[str]:
    return [key for key, _ in rows]


class ScanCases:
    def test_a_scan_is_in_the_order_of_the_index_then_the_key(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)
        rows = storage.read(lambda tx: tx.scan("things", "rank", limit=100))
        assert keys(rows) == ["C1", "b", "a", "c2", "d"]
        assert rows[0] == ("C1", {"rank": 10, "name": "name of C1"})
        assert keys(storage.read(lambda tx: tx.scan("things", "rank", limit=100, reverse=True))) == [
            "d",
            "c2",
            "a",
            "b",
            "C1",
        ]

    def test_without_an_index_the_order_is_that_of_the_keys(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)
        assert keys(storage.read(lambda tx: tx.scan("things", limit=100))) == sorted([*ROWS, "bare"])
        bounded = storage.read(lambda tx: tx.scan("things", None, "a", "c2", limit=100))
        assert keys(bounded) == ["a", "b", "bare", "c2"]

    def test_bounds_are_inclusive(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def look(tx: ReadTx) -> None:
            assert keys(tx.scan("things", "rank", 10, 30, limit=100)) == ["C1", "b", "a", "c2"]
            assert keys(tx.scan("things", "rank", 11, limit=100)) == ["a", "c2", "d"]
            assert keys(tx.scan("things", "rank", None, 10, limit=100)) == ["C1", "b"]
            assert keys(tx.scan("things", "rank", 31, 12, limit=100)) == []
            assert keys(tx.scan("things", "name", "name of b", "name of b", limit=9)) == ["b"]

        storage.read(look)

    def test_offset_and_limit_cut_a_page(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def look(tx: ReadTx) -> None:
            assert keys(tx.scan("things", "rank", limit=2, offset=1)) == ["b", "a"]
            assert keys(tx.scan("things", "rank", limit=2, offset=1, reverse=True)) == ["c2", "a"]
            assert keys(tx.scan("things", "rank", 10, 30, limit=2, offset=3, reverse=True)) == ["C1"]
            assert keys(tx.scan("things", "rank", limit=2, offset=9)) == []
            assert keys(tx.scan("things", "rank", limit=0)) == []

        storage.read(look)

    def test_a_negative_limit_is_refused(self, reopen: Reopen) -> None:
        storage = reopen()
        with pytest.raises(ValueError, match="limit"):
            storage.read(lambda tx: tx.scan("things", limit=-1))

    def test_contains_ignores_letter_case(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def look(tx: ReadTx) -> None:
            assert keys(tx.scan("things", contains="c", limit=100)) == ["C1", "Cab", "c2"]
            assert keys(tx.scan("things", contains="c", limit=1, offset=1)) == ["Cab"]
            assert keys(tx.scan("things", "rank", contains="C", limit=9, reverse=True)) == ["c2", "C1"]
            assert tx.count("things", contains="AB") == 1
            assert tx.count("things", "rank", 10, 10, contains="c") == 1

        storage.read(look)

    def test_count_agrees_with_scan(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def look(tx: ReadTx) -> None:
            assert tx.count("things") == 7
            assert tx.count("things", "rank") == 5
            assert tx.count("things", "rank", 10, 30) == 4
            assert tx.count("things", None, "b") == 4
            assert tx.count("things", "rank", 99) == 0

        storage.read(look)

    def test_an_index_follows_changes_and_deletes(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)
        storage.transact(lambda tx: tx.put("things", "b", {"rank": 35, "name": "z"}))
        storage.transact(lambda tx: tx.delete("things", "a"))
        storage.transact(lambda tx: tx.put("things", "d", {"name": "no rank any more"}))
        for again in lives(storage, reopen):
            assert keys(again.read(lambda tx: tx.scan("things", "rank", limit=9))) == ["C1", "c2", "b"]

    def test_own_writes_show_in_scan_and_count(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def write(tx: Tx) -> None:
            tx.put("things", "b", {"rank": 99})
            tx.put("things", "e", {"rank": 15})
            tx.delete("things", "c2")
            tx.delete("things", "nobody")
            assert keys(tx.scan("things", "rank", limit=9)) == ["C1", "e", "a", "d", "b"]
            assert keys(tx.scan("things", "rank", limit=2, offset=1, reverse=True)) == ["d", "a"]
            assert keys(tx.scan("things", "rank", 15, 40, limit=9)) == ["e", "a", "d"]
            assert tx.count("things", "rank") == 5
            assert tx.count("things", "rank", 10, 30) == 3
            assert tx.count("things", contains="c") == 2
            assert keys(tx.scan("things", limit=3, offset=2)) == ["a", "b", "bare"]
            assert tx.scan("things", "rank", 15, 15, limit=9) == [("e", {"rank": 15})]

        storage.transact(write)
        assert keys(storage.read(lambda tx: tx.scan("things", "rank", limit=9))) == ["C1", "e", "a", "d", "b"]

    def test_a_prefix_is_the_beginning_of_a_key_letter_for_letter(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def look(tx: ReadTx) -> None:
            assert keys(tx.scan("things", prefix="C", limit=9)) == ["C1", "Cab"]
            assert keys(tx.scan("things", prefix="c", limit=9)) == ["c2"]
            assert keys(tx.scan("things", prefix="b", limit=9, reverse=True)) == ["bare", "b"]
            assert keys(tx.scan("things", None, "b", "b", prefix="b", limit=9)) == ["b"]
            assert keys(tx.scan("things", "rank", prefix="C", limit=9)) == ["C1"]
            assert keys(tx.scan("things", prefix="C", contains="B", limit=9)) == ["Cab"]
            assert keys(tx.scan("things", prefix="C", limit=1, offset=1)) == ["Cab"]
            assert keys(tx.scan("things", prefix="", limit=1)) == ["C1"]
            assert (tx.count("things", prefix="C"), tx.count("things", "rank", prefix="C")) == (2, 1)
            assert tx.count("things", prefix="zz") == 0

        storage.read(look)

    def test_where_asks_for_exactly_these_values(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def look(tx: ReadTx) -> None:
            assert keys(tx.scan("things", where={"rank": 10}, limit=9)) == ["C1", "b"]
            assert keys(tx.scan("things", "name", where={"rank": 10}, limit=9, reverse=True)) == ["b", "C1"]
            assert keys(tx.scan("things", where={"rank": 10, "name": "name of b"}, limit=9)) == ["b"]
            assert keys(tx.scan("things", where={"rank": 20, "name": "name of b"}, limit=9)) == []
            assert keys(tx.scan("things", "rank", 20, where={"name": "name of b"}, limit=9)) == []
            assert keys(tx.scan("things", where={"rank": 10}, prefix="C", limit=9)) == ["C1"]
            assert tx.count("things", where={"rank": 10}) == 2
            assert tx.count("things", where={"rank": 10}, contains="c") == 1
            assert tx.count("things", where={}) == tx.count("things")
            with pytest.raises(KeyError):
                tx.scan("things", where={"text": "not indexed"}, limit=1)
            with pytest.raises(KeyError):
                tx.count("things", where={"text": "not indexed"})

        storage.read(look)

    def test_a_capped_count_stops_there(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def look(tx: ReadTx) -> None:
            assert tx.count("things", cap=3) == 3
            assert tx.count("things", cap=7) == tx.count("things", cap=8) == 7
            assert tx.count("things", contains="c", cap=2) == 2
            assert tx.count("things", contains="c", cap=4) == 3
            assert tx.count("things", prefix="C", cap=1) == 1
            assert tx.count("things", where={"rank": 10}, cap=1) == 1
            assert tx.count("things", cap=0) == 0

        storage.read(look)

    def test_own_writes_show_under_every_filter(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def write(tx: Tx) -> None:
            tx.put("things", "C1", {"rank": 11})
            tx.put("things", "Cnew", {"rank": 10})
            tx.delete("things", "b")
            tx.put("things", "c2", {"rank": 10})
            assert keys(tx.scan("things", where={"rank": 10}, limit=9)) == ["Cnew", "c2"]
            assert keys(tx.scan("things", "rank", where={"rank": 10}, limit=9, reverse=True)) == ["c2", "Cnew"]
            assert keys(tx.scan("things", prefix="C", limit=9)) == ["C1", "Cab", "Cnew"]
            assert keys(tx.scan("things", "rank", contains="c", limit=9)) == ["Cnew", "c2", "C1"]
            assert keys(tx.scan("things", "rank", contains="c", prefix="C", limit=1, offset=1)) == ["C1"]
            assert (tx.count("things", where={"rank": 10}), tx.count("things", prefix="b")) == (2, 1)
            assert (tx.count("things", contains="c"), tx.count("things", contains="c", cap=3)) == (4, 3)

        storage.transact(write)
        assert keys(storage.read(lambda tx: tx.scan("things", where={"rank": 10}, limit=9))) == ["Cnew", "c2"]

    def test_a_search_follows_keys_that_come_and_go(self, reopen: Reopen) -> None:
        storage = reopen()
        ranked(storage)

        def found(text: str) -> list[str]:
            return keys(storage.read(lambda tx: tx.scan("things", contains=text, limit=99)))

        assert found("new") == []
        storage.transact(lambda tx: tx.put("things", "New-1", {"rank": 1}))
        assert found("new") == ["New-1"]
        storage.transact(lambda tx: tx.put("things", "a-new", {"rank": 2}))
        storage.transact(lambda tx: tx.delete("things", "New-1"))
        assert found("new") == ["a-new"]
        storage.transact(lambda tx: tx.put("things", "two\nlines STRASSE", {}))
        assert found("o\nl") == ["two\nlines STRASSE"]
        assert found("straße") == ["two\nlines STRASSE"]
        assert (found("\n"), found("\na")) == (["two\nlines STRASSE"], [])
