"""Changes that are visible before they are durable, and what happens to them when the disk fails."""

import pytest

from relay.errors import StorageFull, StorageUnavailable


def put(value):
    return lambda tx: tx.put("things", "k", {"n": value})


def put_many(storage, count):
    for n in range(count):
        storage.transact(put(n))


def get(storage):
    return storage.read(lambda tx: tx.get("things", "k"))


def test_a_submitted_change_is_seen_at_once_and_durable_when_waited_for(start, data_dir):
    storage = start()
    _, durable = storage.submit(put(1))
    assert (data_dir / "journal.jsonl").stat().st_size == 0, "nobody waits for it yet"
    durable()
    assert (data_dir / "journal.jsonl").stat().st_size > 0
    assert get(storage) == {"n": 1}


def test_a_reader_of_a_submitted_change_waits_until_it_is_durable(start, data_dir):
    storage = start()
    storage.submit(put(1))
    assert get(storage) == {"n": 1}
    assert (data_dir / "journal.jsonl").stat().st_size > 0


def test_a_later_transaction_takes_the_submitted_ones_along_in_order(power_cut_reopen):
    storage = power_cut_reopen()
    storage.submit(put(1))
    storage.transact(lambda tx: tx.put("things", "other", {"n": tx.get("things", "k")["n"] + 1}))
    storage = power_cut_reopen(crash=True)
    assert (get(storage), storage.read(lambda tx: tx.get("things", "other"))) == ({"n": 1}, {"n": 2})


def test_a_clean_close_keeps_what_nobody_waited_for(start):
    storage = start()
    storage.submit(put(1))
    storage.close()
    assert get(start()) == {"n": 1}


def test_a_checkpoint_keeps_what_nobody_waited_for(start):
    storage = start()
    storage.submit(put(1))
    storage.checkpoint()
    assert get(storage) == {"n": 1}


def test_a_failed_write_takes_back_what_was_only_submitted(disk, power_cut_reopen):
    storage = power_cut_reopen()
    storage.transact(put(0))
    _, durable = storage.submit(put(1))
    with disk.failing("fail_writes"):
        with pytest.raises(StorageFull):
            storage.transact(lambda tx: tx.put("things", "other", {"n": 2}))
        with pytest.raises(StorageFull):
            durable()
    assert get(storage) == {"n": 0}
    assert storage.read(lambda tx: tx.get("things", "other")) is None


def test_while_the_disk_fails_a_submitted_change_is_refused_at_once(disk, power_cut_reopen):
    storage = power_cut_reopen()
    with disk.failing("fail_writes"):
        with pytest.raises(StorageFull):
            storage.transact(put(1))
        with pytest.raises(StorageFull):
            storage.submit(put(2))
    storage.submit(put(3))
    assert get(storage) == {"n": 3}


def test_many_submitted_changes_are_written_without_anybody_waiting(start, data_dir):
    storage = start()
    for n in range(1200):
        storage.submit(put(n))
    assert len(storage._memory.waiting) < 500
    assert get(storage) == {"n": 1199}


def test_a_defect_in_the_writer_stops_every_write_and_says_so(start, monkeypatch):
    storage = start()
    storage.transact(put(1))

    def defect(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(storage._journal, "append", defect)
    with pytest.raises(StorageUnavailable):
        storage.transact(put(2))
    with pytest.raises(StorageUnavailable):
        storage.check()
    assert get(storage) == {"n": 1}


def test_a_defect_after_the_write_stops_every_later_write(start, monkeypatch):
    storage = start()

    def defect(*_):
        raise RuntimeError("a defect")

    monkeypatch.setattr(storage._writer, "flush", defect)
    monkeypatch.setattr("relay_jsonfile.writer.FLUSH", 1)
    storage.transact(lambda tx: tx.append("log", "p", {"n": 1}))
    with pytest.raises(StorageUnavailable):
        put_many(storage, 1000)
    with pytest.raises(StorageUnavailable):
        storage.check()
