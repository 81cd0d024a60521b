"""Filtered scans find the same rows whichever way they take: few that match, or the index from its beginning."""

import random

import pytest
from relay_jsonfile import query, search
from sortedcontainers import SortedList

LETTERS = ["a", "B", "ß", "\n", "1", "İ"]


@pytest.mark.parametrize("seed", range(5))
def test_a_search_finds_what_a_look_at_every_key_finds(seed, monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 3)
    chance = random.Random(seed)
    keys, finder = SortedList(), search.KeySearch()
    for _ in range(150):
        for _ in range(chance.randrange(4)):
            key = "".join(chance.choices(LETTERS, k=chance.randrange(1, 6)))
            keys.discard(key) if key in keys else keys.add(key)
            finder.forget(key)
        text = "".join(chance.choices([*LETTERS, "A", "ss", "i"], k=chance.randrange(1, 4)))
        prefix = "".join(chance.choices(LETTERS, k=chance.randrange(3)))
        wanted = [key for key in keys if text.casefold() in key.casefold() and key.startswith(prefix)]
        assert list(finder.find(keys, text, prefix)) == wanted


@pytest.fixture
def filled(start):
    """400 rows; every tenth is rare, half of them are even."""
    storage = start()

    def write(tx):
        for number in range(400):
            doc = {"rank": number * 7 % 400, "name": "even" if number % 2 == 0 else "odd"}
            tx.put("things", f"{'rare' if number % 10 == 0 else 'many'}:{number:03}", doc)
            record = {"at": number * 7 % 400, "who": doc["name"]}
            tx.put("records", f"{'rare' if number % 10 == 0 else 'many'}:{number:03}", record)

    storage.transact(write)
    storage.checkpoint()
    return storage


FILTERS = [
    {"contains": "RARE"},
    {"contains": "9"},
    {"prefix": "rare:"},
    {"prefix": "many:1", "contains": "3"},
    {"where": "even"},
    {"where": "odd", "contains": "rare"},
    {"where": "odd", "prefix": "many:2"},
    {"where": "none"},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize(("coll", "number", "name"), [("things", "rank", "name"), ("records", "at", "who")])
@pytest.mark.parametrize(("few", "many"), [(0, 200_000), (60, 0), (60, 100), (20_000, 0)])
def test_every_way_finds_the_same_rows(few, many, coll, number, name, filters, filled, monkeypatch):
    def look(tx):
        found = []
        for index, bounds in ((None, (None, None)), (number, (None, None)), (number, (100, 300)), (name, (None, None))):
            for reverse in (False, True):
                rows = tx.scan(coll, index, *bounds, limit=20, offset=3, reverse=reverse, **filters)
                found.append([key for key, _ in rows])
            found.append(tx.count(coll, index, *bounds, **filters))
            found.append(tx.count(coll, index, *bounds, cap=7, **filters))
        return found

    filters = filters | ({"where": {name: filters["where"]}} if "where" in filters else {})
    monkeypatch.setattr(query, "FEW", 0)
    monkeypatch.setattr(query, "FEW_COLD", 0)
    walked = filled.read(look)
    monkeypatch.setattr(query, "FEW", few)
    monkeypatch.setattr(query, "FEW_COLD", few)
    monkeypatch.setattr(query, "MANY", many)
    assert filled.read(look) == walked
    rows = filled.read(lambda tx: tx.scan(coll, limit=1000))
    wanted = [key for key, doc in rows if matches(key, doc, name, filters)]
    assert walked[0] == wanted[3:23]
    assert walked[2:4] == [len(wanted), min(7, len(wanted))]


def matches(key, doc, name, filters):
    where = filters.get("where", {name: doc[name]})
    return (
        filters.get("contains", "").lower() in key
        and key.startswith(filters.get("prefix", ""))
        and doc[name] == where[name]
    )


def test_a_search_notices_keys_that_come_and_go(start, monkeypatch):
    monkeypatch.setattr(query, "FEW", 1)
    storage = start()

    def found(text):
        return [key for key, _ in storage.read(lambda tx: tx.scan("things", contains=text, limit=9))]

    storage.transact(lambda tx: [tx.put("things", f"user:{number}", {}) for number in range(9)])
    assert found("r:3") == ["user:3"]
    storage.transact(lambda tx: tx.put("things", "new", {}))
    assert found("new") == ["new"]
    storage.transact(lambda tx: tx.delete("things", "user:3"))
    assert found("r:3") == []
