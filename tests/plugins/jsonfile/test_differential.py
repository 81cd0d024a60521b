"""Random transactions, restarts and crashes: the JSON files and the in-memory fake always agree."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from relay_jsonfile import JSONFileStorage, log_files, log_write, query, search, snapshot

from relay.api import AlreadyExists
from relay.testing.memory import MemoryStorage
from relay.testing.storage import COLLECTIONS, STREAMS
from relay.testing.storage_cases import everything

KEYS = st.sampled_from(["a", "B", "ab", "c", "ü", "10", "9"])
RANKS = st.none() | st.integers(-3, 3)
NAMES = st.none() | st.sampled_from(["x", "y", "xy", ""])
THING = st.fixed_dictionaries({}, optional={"rank": RANKS, "name": NAMES, "text": st.text(max_size=5)})
SEEN = st.fixed_dictionaries({"value": NAMES})
NOTE = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2).filter(
    lambda doc: all(not isinstance(value, int) or abs(value) < 2**62 for value in doc.values())
)
RECORD = st.fixed_dictionaries({}, optional={"at": RANKS, "who": NAMES, "text": st.text(max_size=5)})
DOCS = {"things": THING, "seen": SEEN, "notes": NOTE, "records": RECORD}
PARTITIONS = st.sampled_from(["a", "b", "c/d"])


def writes(coll):
    return st.tuples(st.sampled_from(["put", "insert"]), st.just(coll), KEYS, DOCS[coll])


BOUNDS = {"rank": st.none() | st.integers(-4, 4), "name": NAMES, None: st.none() | KEYS}
BOUNDS |= {"at": BOUNDS["rank"], "who": NAMES}
WHERE = {
    "things": st.fixed_dictionaries({}, optional={"rank": st.integers(-3, 3), "name": st.sampled_from(["x", "xy"])}),
    "records": st.fixed_dictionaries({}, optional={"at": st.integers(-3, 3), "who": st.sampled_from(["x", "xy"])}),
}


def looks(coll, index):
    return st.tuples(
        st.just("look"),
        st.just(coll),
        st.just(index),
        BOUNDS[index],
        BOUNDS[index],
        st.integers(0, 4),
        st.integers(0, 3),
        st.booleans(),
        st.none() | st.sampled_from(["A", "b"]),
        st.none() | st.sampled_from(["a", "B", "1"]),
        st.none() | WHERE[coll],
        st.none() | st.integers(0, 3),
    )


OPERATION = st.one_of(
    writes("things"),
    writes("things"),
    writes("seen"),
    writes("notes"),
    writes("records"),
    writes("records"),
    st.tuples(st.just("get"), st.just("records"), KEYS),
    st.tuples(st.just("delete"), st.sampled_from(list(DOCS)), KEYS),
    st.tuples(st.just("append"), st.sampled_from(STREAMS), PARTITIONS, NOTE),
    st.tuples(
        st.just("read"),
        st.sampled_from(STREAMS),
        PARTITIONS,
        st.none() | st.integers(0, 6),
        st.integers(0, 4),
    ),
    looks("things", "rank"),
    looks("things", "name"),
    looks("things", None),
    looks("records", "at"),
    looks("records", "who"),
    looks("records", None),
)


def perform(tx, operation):
    kind, *rest = operation
    if kind == "look":
        coll, index, low, high, limit, offset, reverse, contains, prefix, where, cap = rest
        filters = {"contains": contains, "prefix": prefix, "where": where}
        rows = tx.scan(coll, index, low, high, limit=limit, offset=offset, reverse=reverse, **filters)
        return rows, tx.count(coll, index, low, high, cap=cap, **filters)
    if kind == "read":
        stream, partition, before, limit = rest
        return tx.read(stream, partition, before=before, limit=limit)
    try:
        return getattr(tx, kind)(*rest)
    except AlreadyExists:
        return "taken"


class Abandoned(Exception):
    pass


def run(storage, operations, abandon):
    def fn(tx):
        results = [perform(tx, operation) for operation in operations]
        if abandon:
            raise Abandoned(results)
        return results

    try:
        return storage.transact(fn)
    except Abandoned as abandoned:
        return abandoned.args[0]


SMALL = {
    (log_files, "SEGMENT_BYTES"): 120,
    (log_files, "LINES"): 2,
    (log_files, "READ"): 16,
    (log_write, "SLICE"): 2,
    (snapshot, "SLICE"): 2,
    (search, "BLOCK"): 1,
    (query, "FEW"): 2,
    (query, "FEW_COLD"): 1,
}
"""Sizes at which a few documents already take every path."""


class Differential(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.sizes = {where: getattr(*where) for where in SMALL}
        for where, size in SMALL.items():
            setattr(*where, size)
        self.folder = Path(tempfile.mkdtemp())
        self.lives = 0
        self.files = self.start()
        self.memory = MemoryStorage()
        self.memory.open(self.folder, COLLECTIONS, STREAMS)

    def start(self):
        storage = JSONFileStorage()
        storage.open(self.folder / str(self.lives), COLLECTIONS, STREAMS)
        return storage

    @rule(operations=st.lists(OPERATION, min_size=1, max_size=6), abandon=st.booleans())
    def transact(self, operations, abandon):
        assert run(self.files, operations, abandon) == run(self.memory, operations, abandon)

    @rule()
    def checkpoint(self):
        self.files.checkpoint()

    @rule()
    def reopen(self):
        self.files.close()
        self.files = self.start()
        assert dict(self.files.outside_changes()) == {}

    @precondition(lambda self: self.lives < 5)
    @rule()
    def crash(self):
        old = self.files
        shutil.copytree(self.folder / str(self.lives), self.folder / str(self.lives + 1))
        self.lives += 1
        self.files = self.start()
        old.close()
        assert dict(self.files.outside_changes()) == {}

    @invariant()
    def agree(self):
        assert self.files.read(everything) == self.memory.read(everything)

    def teardown(self):
        self.files.close()
        for where, size in self.sizes.items():
            setattr(*where, size)
        shutil.rmtree(self.folder)


Differential.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDifferential = Differential.TestCase
