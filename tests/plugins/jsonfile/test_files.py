"""What lies in the data directory: readable files, private modes, and checkpoints while serving."""

import json
import os
import subprocess
import sys
import threading
from io import BytesIO

import pytest
from relay_jsonfile import Plugin, checkpoint, snapshot, stream, view, writer
from relay_jsonfile.pace import Pace

from relay.errors import ConfigError, StorageFull, StorageUnavailable
from relay.testing.storage_cases import everything, fill, get, put


def test_the_plugin_takes_its_two_settings():
    (storage,) = Plugin({"checkpoint_seconds": 10, "checkpoint_journal_mb": 1}).relay_storages()
    assert storage.name == "jsonfile"
    with pytest.raises(ConfigError):
        Plugin({"checkpoint_seconds": "often"})
    with pytest.raises(ConfigError):
        Plugin({"path": "/elsewhere"})


def test_the_files_are_complete_and_readable_after_a_clean_close(start, data_dir):
    storage = start()
    fill(storage)
    storage.close()
    things = (data_dir / "things.json").read_text()
    assert json.loads(things)["t1"] == {"rank": 1, "name": "n1", "text": 'ü "quoted"\n'}
    assert len(things.splitlines()) == 4 + 2
    assert json.loads((data_dir / "seen.json").read_text()) == {"keys": {"event-1": "2026-01-01T00:00:00Z"}}
    note = (data_dir / "notes" / "note-1.json").read_text()
    assert json.loads(note) == {"lines": ["a", {"b": None}], "price": 1.5}
    assert len(note.splitlines()) > 3
    assert (data_dir / "journal.jsonl").read_bytes() == b""
    assert list(data_dir.rglob("*.tmp")) == []


@pytest.mark.parametrize("umask", [0, 0o277])
def test_everything_is_private_whatever_the_umask(umask, start, data_dir):
    before = os.umask(umask)
    try:
        storage = start()
        fill(storage)
        storage.put_blob(BytesIO(b"x"))
        storage.checkpoint()
        put(storage, "a", rank=1)
    finally:
        os.umask(before)
    modes = {oct(path.stat().st_mode & 0o777) for path in data_dir.rglob("*") if path.is_file()}
    assert modes == {"0o600"}
    modes = {oct(path.stat().st_mode & 0o777) for path in [data_dir, *data_dir.rglob("*")] if path.is_dir()}
    assert modes == {"0o700"}


def test_a_checkpoint_rewrites_only_what_changed(start, data_dir):
    storage = start()
    fill(storage)
    storage.transact(lambda tx: tx.put("notes", "note-2", {}))
    storage.checkpoint()

    def inodes():
        return {str(p.relative_to(data_dir)): p.stat().st_ino for p in data_dir.rglob("*.json")}

    before = inodes()
    storage.transact(lambda tx: tx.put("notes", "note-1", {"changed": True}))
    storage.checkpoint()
    changed = {name for name, inode in inodes().items() if before[name] != inode}
    assert changed - {"checkpoint.json"} == {"notes/note-1.json"}
    storage.transact(lambda tx: tx.delete("notes", "note-2"))
    storage.checkpoint()
    assert not (data_dir / "notes" / "note-2.json").exists()


def test_nothing_is_written_when_nothing_changed(start, data_dir):
    storage = start()
    fill(storage)
    storage.close()
    before = {path: path.stat().st_mtime_ns for path in data_dir.glob("*.json")}
    start().close()
    assert {path: path.stat().st_mtime_ns for path in data_dir.glob("*.json")} == before


@pytest.mark.parametrize("key", ["a/b", ".hidden", "..", "", "x" * 201, "ü" * 101, "a\0b"])
def test_a_key_that_is_no_safe_file_name_is_refused(key, start):
    storage = start()
    with pytest.raises(ValueError, match="file"):
        storage.transact(lambda tx: tx.put("notes", key, {}))
    storage.transact(lambda tx: tx.put("notes", "x" * 200, {}))


def test_a_keys_collection_holds_values_only(start):
    storage = start()
    with pytest.raises(ValueError, match="value"):
        storage.transact(lambda tx: tx.put("seen", "a", {"value": "x", "more": 1}))


def test_values_of_one_index_are_of_one_type(start):
    storage = start()
    put(storage, "a", rank=1)
    with pytest.raises(TypeError, match="rank"):
        put(storage, "b", rank="one")

    def mixed(tx):
        tx.put("things", "c", {"name": "x"})
        tx.put("things", "d", {"name": 1})

    with pytest.raises(TypeError, match="name"):
        storage.transact(mixed)
    assert storage.read(lambda tx: tx.count("things")) == 1


def test_checkpoints_while_serving_lose_nothing(start):
    storage = start()
    stop = threading.Event()
    counts = {}

    def work(number):
        while not stop.is_set():
            counts[number] = storage.transact(lambda tx: tx.append("log", f"p{number}", {"n": number}))
            put(storage, f"t{number}", rank=counts[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        storage.checkpoint()
    stop.set()
    for thread in threads:
        thread.join(30)
    before = storage.read(everything)
    assert {f"p{number}": count for number, count in counts.items()} == {
        name: entries[0][0] for name, entries in before["log"].items()
    }
    storage.close()
    assert start().read(everything) == before


def test_a_large_journal_asks_for_a_checkpoint(start, data_dir):
    storage = start(checkpoint_bytes=1000)
    done = threading.Event()
    for number in range(2000):
        put(storage, f"t{number}", rank=number, text="x" * 100)
        if (data_dir / "things.json").exists():
            done.set()
            break
    assert done.is_set()


def test_a_full_disk_fails_the_checkpoint_and_keeps_the_journal(start, disk):
    storage = start()
    before = fill(storage)
    with disk.failing("fail_writes"), pytest.raises(StorageFull):
        storage.checkpoint()
    put(storage, "later", rank=1)
    storage.transact(lambda tx: tx.delete("things", "later"))
    storage.checkpoint()
    assert storage.read(everything) == before
    storage.close()
    assert start().read(everything) == before


def test_a_full_disk_refuses_a_blob_and_leaves_nothing(start, disk, data_dir, monkeypatch):
    storage = start()

    class Full(BytesIO):
        def read(self, *_):
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageFull):
        storage.put_blob(Full())
    assert [path for path in (data_dir / "blobs").rglob("*") if path.is_file()] == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from relay_jsonfile import JSONFileStorage
from relay.errors import StorageFull
from relay.testing.storage import COLLECTIONS, STREAMS

storage = JSONFileStorage()
storage.open(Path(sys.argv[1]), COLLECTIONS, STREAMS)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
count = 0
try:
    while True:
        storage.transact(lambda tx: tx.put("things", f"t{count}", {"rank": count, "text": "x" * 300}))
        count += 1
except StorageFull as exc:
    assert "Free some space" in exc.message
assert storage.read(lambda tx: tx.count("things", "rank")) == count > 10
try:
    storage.transact(lambda tx: tx.put("things", "again", {"text": "x" * 300}))
    raise SystemExit("a write beyond the limit was accepted")
except StorageFull:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
storage.transact(lambda tx: tx.put("things", "room again", {"rank": 1000}))
print(count)
storage.close()
"""


def test_a_file_that_may_not_grow_fails_the_write_and_later_ones_work(start, data_dir):
    command = [sys.executable, "-c", FULL_DISK, str(data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert start().read(lambda tx: tx.count("things", "rank")) == int(done.stdout) + 1


def test_a_failed_fsync_of_the_entries_stops_writing(start, disk):
    storage = start()
    fill(storage)
    disk.only = "data/log"
    with disk.failing("fail_syncs"), pytest.raises(StorageUnavailable):
        storage.checkpoint()
    with pytest.raises(StorageUnavailable, match="started again"):
        put(storage, "a", rank=1)
    assert get(storage, "t1") is not None


def test_a_failed_rotation_leaves_the_journal_in_use(start, disk, data_dir):
    storage = start()
    before = fill(storage)
    with disk.failing("fail_syncs"), pytest.raises(StorageUnavailable):
        storage.checkpoint()
    assert [path.name for path in data_dir.glob("journal*")] == ["journal.jsonl"]
    put(storage, "later", rank=1)
    storage.transact(lambda tx: tx.delete("things", "later"))
    storage.close()
    assert start().read(everything) == before


def test_entries_that_cannot_reach_their_segment_yet_are_served_from_memory(start, monkeypatch):
    storage = start()
    fill(storage)

    def full(fd, data, offset):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        for number in range(3, 6):
            storage.transact(lambda tx, number=number: tx.append("log", "a", {"number": number}))
        with pytest.raises(StorageFull):
            storage.checkpoint()
    before = storage.read(everything)
    assert [n for n, _ in before["log"]["a"]] == [6, 5, 4, 3, 2, 1]
    storage.transact(lambda tx: tx.append("other-log", "b", {}))
    storage.close()
    assert start().read(everything)["log"] == before["log"]


def test_a_stream_goes_on_in_a_new_segment(start, data_dir, monkeypatch):
    monkeypatch.setattr(stream, "SEGMENT_BYTES", 2000)
    monkeypatch.setattr(writer, "FLUSH", 1)
    storage = start()
    for number in range(100):
        storage.transact(lambda tx, number=number: tx.append("log", f"p{number % 3}", {"number": number}))
        if number % 40 == 0:
            storage.close()
            storage = start()
    assert len(list((data_dir / "log").glob("0*.jsonl"))) > 3
    storage.close()
    storage = start()
    assert storage.read(lambda tx: [doc["number"] for _, doc in tx.read("log", "p0", limit=99)]) == [*range(99, -1, -3)]


def test_a_function_that_reads_from_disk_is_run_again_without_holding_the_lock(start):
    storage = start()
    fill(storage)
    storage.close()
    storage = start()
    runs = []

    def look(tx):
        runs.append(1)
        return [tx.read("log", "a", before=3, limit=1), tx.read("other-log", "a", limit=5)]

    assert storage.read(look) == [[(2, {"number": 1})], [(1, {"number": 9})]]
    assert len(runs) == 3


def test_a_function_that_reads_a_great_deal_is_not_run_for_ever(start):
    storage = start()

    def write(tx):
        for number in range(100):
            tx.append("log", f"p{number}", {})

    storage.transact(write)
    storage.close()
    storage = start()
    runs = []

    def look(tx):
        runs.append(1)
        return sum(len(tx.read("log", name, limit=9)) for name in tx.partitions("log"))

    assert storage.read(look) == 100
    assert len(runs) == 9


def test_a_record_that_was_damaged_later_is_named(start, data_dir):
    storage = start()
    fill(storage)
    storage.close()
    segment = data_dir / "log" / "000001.jsonl"
    segment.write_bytes(b"#" * segment.stat().st_size)
    with pytest.raises(StorageUnavailable, match=r"000001\.jsonl"):
        start().read(lambda tx: tx.read("log", "a", limit=1))


def test_a_transaction_inside_a_transaction_is_refused(start):
    storage = start()
    with pytest.raises(RuntimeError, match="inside a transaction"):
        storage.transact(lambda tx: put(storage, "a", rank=1))
    put(storage, "a", rank=1)


def test_a_read_only_view_has_no_way_to_write():
    assert not hasattr(view.View, "put")


def test_a_checkpoint_holds_the_moment_it_began_whatever_changes_while_it_writes(start, data_dir, monkeypatch):
    monkeypatch.setattr(snapshot, "SLICE", 3)
    monkeypatch.setattr(stream, "SLICE", 3)
    storage = start()

    def write(tx, turn):
        for number in range(turn, 20 + turn):
            tx.put("things", f"t{number:02}", {"rank": number, "turn": turn})
            tx.put("seen", f"s{number:02}", {"value": str(turn)})
            tx.append("log", f"p{number:02}", {"turn": turn})

    storage.transact(lambda tx: write(tx, 0))
    before = storage.read(everything)

    def changes():
        storage.transact(lambda tx: [tx.delete("things", key) for key in ("t01", "t10", "t19")])
        storage.transact(lambda tx: write(tx, 5))
        storage._writer.flush()
        monkeypatch.undo()

    monkeypatch.setattr(Pace, "__call__", lambda pace: changes())
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "remove_outdated", lambda *_: None)
        storage.checkpoint()
    rows = json.loads((data_dir / "things.json").read_text())
    assert list(rows.items()) == before["things"]
    assert json.loads((data_dir / "seen.json").read_text())["keys"] == {k: d["value"] for k, d in before["seen"]}
    (heads,) = (data_dir / "log").glob("heads-*.json")
    assert {name: head[0] for name, head in json.loads(heads.read_text()).items()} == dict.fromkeys(before["log"], 1)
    after = storage.read(everything)
    assert after != before
    storage.close()
    assert start().read(everything) == after
