"""The layout `log`: documents that only the disk has, files that shrink, and steps that are interrupted."""

import json
import logging
import os
import shutil
import threading

import pytest
from relay_jsonfile import JSONFileStorage, checkpoint, log_files, log_write, manifest

from relay.api import Collection
from relay.errors import ConfigError, StorageFull, StorageUnavailable
from relay.testing.storage import COLLECTIONS, STREAMS
from relay.testing.storage_cases import everything
from tests.plugins.jsonfile.test_interrupted_checkpoints import killed_at
from tests.plugins.jsonfile.test_recovery import refuse


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    monkeypatch.setattr(log_files, "SEGMENT_BYTES", 1000)
    monkeypatch.setattr(log_files, "LINES", 5)


def put(storage, numbers, **more):
    def write(tx):
        for number in numbers:
            doc = {"at": number, "who": f"w{number % 3}", "text": "x" * 50} | more
            tx.put("records", f"r{number:03}", doc)

    storage.transact(write)


def delete(storage, numbers):
    storage.transact(lambda tx: [tx.delete("records", f"r{number:03}") for number in numbers])


def ats(storage, *bounds):
    return [doc["at"] for _, doc in storage.read(lambda tx: tx.scan("records", "at", *bounds, limit=1000))]


def segments(data_dir):
    return sorted(int(path.stem) for path in (data_dir / "records").glob("*.jsonl"))


def after_a_crash(data_dir):
    """What a start would find now."""
    copy = data_dir.with_name("crashed")
    shutil.copytree(data_dir, copy)
    storage = JSONFileStorage()
    storage.open(copy, COLLECTIONS, STREAMS)
    found = storage.read(everything)
    storage.close()
    return found


def table(storage):
    return storage._memory.tables["records"]


def test_after_a_checkpoint_the_documents_are_on_disk_alone(start, data_dir):
    storage = start()
    put(storage, range(50))
    storage.checkpoint()
    assert table(storage).rows == {}
    lines = [json.loads(line) for path in sorted((data_dir / "records").glob("*.jsonl")) for line in path.open()]
    assert [line["key"] for line in lines] == [f"r{number:03}" for number in range(50)]
    assert lines[7]["doc"] == {"at": 7, "who": "w1", "text": "x" * 50}
    assert ats(storage, 10, 12) == [10, 11, 12]
    assert storage.read(lambda tx: tx.get("records", "r049"))["at"] == 49
    assert storage.read(lambda tx: tx.count("records", where={"who": "w1"})) == 17


def test_a_cold_document_is_read_without_the_lock(start, monkeypatch):
    storage = start()
    put(storage, range(5))
    storage.checkpoint()
    locked = []
    read = log_files.LogFiles.read

    def watched(*args, **options):
        locked.append(storage._memory.lock.locked())
        return read(*args, **options)

    monkeypatch.setattr(log_files.LogFiles, "read", watched)
    assert ats(storage) == [0, 1, 2, 3, 4]
    storage.transact(lambda tx: tx.put("records", "r001", {"at": 100}))
    assert locked == [False, False], "a page is one look at the disk"
    assert ats(storage, 99) == [100]
    assert storage.read(lambda tx: tx.count("records", "at", 1, 1)) == 0


def test_a_function_that_reads_many_cold_documents_one_by_one_comes_to_an_end(start):
    storage = start()
    put(storage, range(30))
    storage.checkpoint()
    assert storage.read(lambda tx: sum(tx.get("records", f"r{n:03}")["at"] for n in range(30))) == sum(range(30))


def test_changes_of_cold_documents_survive_every_kind_of_restart(power_cut_reopen):
    storage = power_cut_reopen()
    put(storage, range(30))
    storage.checkpoint()
    put(storage, range(3), who="changed")
    delete(storage, [5, 6])
    put(storage, [6], who="again")
    before = storage.read(everything)
    for crash in (True, False, True):
        storage = power_cut_reopen(crash=crash)
        assert storage.read(everything) == before
    assert storage.read(lambda tx: tx.count("records", where={"who": "changed"})) == 3


def test_a_failed_write_gives_a_cold_document_back(disk, power_cut_reopen):
    storage = power_cut_reopen()
    put(storage, range(10))
    storage.checkpoint()
    before = storage.read(everything)
    for change in (
        lambda tx: tx.put("records", "r003", {"at": 77}),
        lambda tx: tx.delete("records", "r003"),
        lambda tx: (tx.delete("records", "r003"), tx.put("records", "new", {"at": 78})),
    ):
        with disk.failing("fail_writes"), pytest.raises(StorageFull):
            storage.transact(change)
        assert storage.read(everything) == before
        assert storage.read(lambda tx: tx.count("records", "at", 77)) == 0
        storage.checkpoint()
        assert storage.read(everything) == before
    assert power_cut_reopen(crash=True).read(everything) == before


def test_files_that_are_mostly_dead_go(start, data_dir):
    storage = start()
    for turn in range(20):
        put(storage, range(20), turn=turn)
        storage.checkpoint()
    assert len(segments(data_dir)) < 8
    assert ats(storage) == list(range(20))
    delete(storage, range(1, 20))
    for turn in range(3):
        storage.checkpoint()
        put(storage, [0], turn=turn)
    assert len(segments(data_dir)) <= 2
    storage.close()
    assert ats(start()) == [0]


def test_a_deletion_outlives_the_file_it_stands_in(start, data_dir):
    storage = start()
    put(storage, range(40))
    storage.checkpoint()
    delete(storage, [0])
    for turn in range(6):
        put(storage, range(40, 50), turn=turn)
        storage.checkpoint()
    assert 1 in segments(data_dir), "the file that still has the document"
    storage.close()
    assert 0 not in ats(start())


def test_a_document_changed_while_its_file_goes_is_not_lost(start, disk, data_dir, monkeypatch):
    """The change is taken back after the old file is gone."""
    storage = start()
    put(storage, range(20))
    storage.checkpoint()
    put(storage, range(8), turn=1)
    storage.checkpoint()
    before = storage.read(everything)
    choose, sync, taken_back = log_write.LogWrite._mostly_dead, log_write.LogWriter.sync, []

    def change(tx):
        for key in ("r008", "r009", "r001"):
            tx.put("records", key, {"at": 500})

    def changed_before_the_copy(writing):
        taken_back.append(storage.submit(change)[1])
        return choose(writing)

    def taken_back_after_it(writer):
        with disk.failing("fail_writes"), pytest.raises(StorageFull):
            taken_back[0]()
        sync(writer)

    monkeypatch.setattr(log_write.LogWrite, "_mostly_dead", changed_before_the_copy)
    monkeypatch.setattr(log_write.LogWriter, "sync", taken_back_after_it)
    put(storage, [18], turn=1)
    before["records"][18][1]["turn"] = 1
    storage.checkpoint()
    monkeypatch.undo()
    assert 1 not in segments(data_dir)
    assert storage.read(everything) == before
    assert after_a_crash(data_dir) == before


def test_documents_changed_while_a_checkpoint_writes_are_kept_as_they_are_then(start, monkeypatch):
    storage = start()
    put(storage, range(5))
    sync = log_write.LogWriter.sync

    def in_between(writer):
        delete(storage, [1])
        put(storage, [2], who="later")
        put(storage, [7])
        sync(writer)

    monkeypatch.setattr(log_write.LogWriter, "sync", in_between)
    storage.checkpoint()
    monkeypatch.undo()
    expected = [0, 2, 3, 4, 7]
    assert ats(storage) == expected
    assert storage.read(lambda tx: tx.get("records", "r001")) is None
    assert storage.read(lambda tx: tx.get("records", "r002"))["who"] == "later"
    storage.checkpoint()
    assert table(storage).rows == {}
    storage.close()
    storage = start()
    assert ats(storage) == expected
    assert storage.read(lambda tx: tx.get("records", "r002"))["who"] == "later"


CHANGES = """
from relay_jsonfile import log_files
log_files.SEGMENT_BYTES, log_files.LINES = 300, 5
def change(tx, turn):
    for n in range(6 * turn % 20 or 20): tx.put("records", f"r{n}", {"value": n + 100 * turn})
    if turn: tx.delete("records", "r3")
for turn in range(6):
    storage.transact(lambda tx: change(tx, turn))
    storage.checkpoint()
"""
STEPS = ["log-written", "compact-copied", "checkpoint-announced", "checkpoint-manifest-written", "compact-removed"]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_loses_nothing(step, nth, start, data_dir):
    killed_at(f"jsonfile.{step}:{nth}", CHANGES, data_dir)
    storage = start()
    found = {key: doc["value"] for key, doc in storage.read(lambda tx: tx.scan("records", limit=99))}
    assert set(found) | {"r3"} == {f"r{n}" for n in range(20)}
    assert all(value % 100 == int(key[1:]) for key, value in found.items())
    assert max(value // 100 for value in found.values()) == found["r0"] // 100, "the first document changes every time"
    assert storage.outside_changes() == {}
    storage.close()
    storage = start()
    assert {key: doc["value"] for key, doc in storage.read(lambda tx: tx.scan("records", limit=99))} == found


def test_what_an_interrupted_checkpoint_left_is_dropped_and_said(start, data_dir, caplog):
    storage = start()
    put(storage, range(3))
    before = storage.read(everything)
    storage.close()
    segment = data_dir / "records" / "000001.jsonl"
    whole = segment.read_bytes()
    segment.write_bytes(whole + b'{"key":"r9","doc":{"at"')
    (data_dir / "records" / "000002.jsonl").write_bytes(b'{"key":"r8","doc":{}}\n')
    with caplog.at_level(logging.WARNING, logger="relay.jsonfile"):
        storage = start()
    assert f"{segment}: dropped 23 bytes" in caplog.text
    assert segment.read_bytes() == whole
    assert segments(data_dir) == [1]
    assert storage.read(everything) == before


@pytest.mark.parametrize("damage", ["short", "garbage", "missing", "number"])
def test_a_damaged_file_stops_the_start_and_is_named(damage, start, data_dir):
    storage = start()
    put(storage, range(3))
    storage.close()
    segment = data_dir / "records" / "000001.jsonl"
    whole = segment.read_bytes()
    if damage == "missing":
        segment.unlink()
    else:
        bad = {"short": whole[:-1], "garbage": b"#" * len(whole), "number": whole.replace(b'"at":1', b'"at":[')}
        segment.write_bytes(bad[damage])
    refuse(start, data_dir, "records/000001.jsonl")


def test_a_document_that_was_damaged_later_is_named_when_it_is_read(start, data_dir):
    storage = start()
    put(storage, range(3))
    storage.checkpoint()
    segment = data_dir / "records" / "000001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"r001"', b'"r00X"'))
    with pytest.raises(StorageUnavailable, match=r"000001\.jsonl.*r001"):
        storage.read(lambda tx: tx.get("records", "r001"))
    assert storage.read(lambda tx: tx.get("records", "r002"))["at"] == 2


def test_a_lost_manifest_stops_the_start(start, data_dir):
    storage = start()
    put(storage, range(3))
    storage.close()
    (data_dir / "checkpoint.json").unlink()
    with pytest.raises(ConfigError, match="records holds entries"):
        start()


@pytest.mark.parametrize("damage", ["gone", "garbage", "of another length", "other fields"])
def test_a_side_file_only_saves_time(damage, start, data_dir, monkeypatch):
    storage = start()
    put(storage, range(60))
    storage.checkpoint()
    put(storage, [3], who="changed")
    storage.checkpoint()
    before = storage.read(everything)
    storage.close()
    side = data_dir / "records" / "000001.index.json"
    good = side.read_bytes()
    if damage == "gone":
        side.unlink()
    else:
        bad = {
            "garbage": good[:-9] + b"#" + good[-8:],
            "of another length": good.replace(b'"bytes":1', b'"bytes":2', 1),
        }
        side.write_bytes(bad.get(damage, good.replace(b'"who"', b'"why"', 1)))
    storage = start()
    assert storage.read(everything) == before
    put(storage, [4], turn=1)
    storage.checkpoint()
    assert side.read_bytes() == good
    monkeypatch.setattr(log_files.LogFiles, "lines", lambda files, number: iter([]))
    storage.close()
    storage = start()
    assert storage.read(lambda tx: tx.count("records", "at", 0, 9)) == 10, "the side files were enough"


def test_an_older_versions_file_is_taken_over(start, data_dir):
    rows_before = [Collection(c.name, c.indexes, c.blobs) if c.name == "records" else c for c in COLLECTIONS]
    old = JSONFileStorage()
    old.open(data_dir, rows_before, STREAMS)
    put(old, range(40))
    before = old.read(everything)
    old.close()
    assert (data_dir / "records.json").exists()
    storage = start()
    assert dict(storage.outside_changes()) == {}
    assert storage.read(everything) == before
    put(storage, [40])
    storage.checkpoint()
    assert not (data_dir / "records.json").exists()
    assert ats(storage) == list(range(41))
    storage.close()
    assert ats(start()) == list(range(41))


@pytest.mark.parametrize("step", ["_put_in_place", "remove_outdated"])
def test_a_take_over_that_fails_half_way_is_done_again(step, start, data_dir, monkeypatch):
    data_dir.mkdir()
    (data_dir / "records.json").write_text(json.dumps({f"r{n:03}": {"at": n} for n in range(9)}))
    storage = start()
    with monkeypatch.context() as patch:

        def fail(*_):
            raise OSError(5, "Input/output error")

        patch.setattr(checkpoint, step, fail)
        with pytest.raises(StorageUnavailable):
            storage.checkpoint()
    os.close(storage._lock_fd)  # gone without a clean close
    again = start()
    assert ats(again) == list(range(9))
    again.close()
    assert not (data_dir / "records.json").exists()
    assert ats(start()) == list(range(9))
    storage._lock_fd = os.open(os.devnull, os.O_RDONLY)
    storage._memory.broken = StorageUnavailable("left behind")


@pytest.mark.parametrize("what", ["fail_writes", "fail_syncs"])
def test_a_checkpoint_that_fails_leaves_the_old_files_in_force(what, start, disk, data_dir, monkeypatch):
    storage = start()
    put(storage, range(30))
    storage.checkpoint()
    put(storage, range(20), who="changed")
    before = storage.read(everything)
    disk.only = "data/records"
    lengths = manifest.load_manifest(data_dir).logs
    if what == "fail_writes":
        monkeypatch.setattr(log_files, "write_all", lambda fd, data: disk.write(fd, data[: len(data) // 2]) and 1 / 0)
    with disk.failing("fail_syncs"), pytest.raises(StorageUnavailable):
        storage.checkpoint()
    assert manifest.load_manifest(data_dir).logs == lengths
    assert storage.read(everything) == before
    monkeypatch.undo()
    put(storage, [50])
    storage.checkpoint()
    delete(storage, [50])
    storage.close()
    assert start().read(everything) == before


def test_after_a_checkpoint_of_unknown_end_no_file_it_wrote_is_written_over(start, data_dir, monkeypatch):
    storage = start()
    put(storage, range(3))
    storage.checkpoint()
    save, old_logs = checkpoint.save_manifest, manifest.load_manifest(data_dir).logs

    def saved_but_said_to_have_failed(folder, new):
        save(folder, new)
        if new.logs != old_logs:
            raise OSError(5, "Input/output error")

    def fail(*_):
        raise OSError(5, "Input/output error")

    put(storage, [1], who="second")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_manifest", saved_but_said_to_have_failed)
        with pytest.raises(StorageUnavailable):
            storage.checkpoint()
    put(storage, [1], who="third", more="y" * 30)
    before = storage.read(everything)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_manifest", fail)
        with pytest.raises(StorageUnavailable):
            storage.checkpoint()
    assert after_a_crash(data_dir) == before


def test_checkpoints_beside_reads_and_changes_lose_nothing(start, monkeypatch):
    storage = start()
    put(storage, range(60))
    stop, wrong = threading.Event(), []

    def change():
        turn = 0
        while not stop.is_set():
            turn += 1
            put(storage, range(turn % 7, 60, 7), turn=turn)

    def look():
        while not stop.is_set():
            if (found := ats(storage)) != list(range(60)):
                wrong.append(found)

    threads = [threading.Thread(target=work) for work in (change, look, look)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        storage.checkpoint()
    stop.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    before = storage.read(everything)
    storage.close()
    assert start().read(everything) == before


def test_blobs_of_cold_documents_are_kept(start):
    from io import BytesIO

    storage = start()
    kept, dropped = storage.put_blob(BytesIO(b"kept")), storage.put_blob(BytesIO(b"dropped"))
    put(storage, [1], body=kept)
    put(storage, [2], body=dropped)
    storage.checkpoint()
    delete(storage, [2])
    storage.close()
    storage = start()
    assert storage.sweep_blobs(0) == 1
    assert storage.open_blob(kept).read() == b"kept"
