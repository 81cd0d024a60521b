"""Starting on files that were cut, damaged or edited: what is dropped, refused and accepted."""

import json
import logging

import pytest

from relay.errors import ConfigError
from relay.testing.storage_cases import everything, fill, get, put


def contents(data_dir):
    """Every file but the lock, with what it holds."""
    files = (path for path in data_dir.rglob("*") if path.is_file() and path.name != "relay.lock")
    return {str(path.relative_to(data_dir)): path.read_bytes() for path in files}


@pytest.fixture
def crashed(start, data_dir, disk, tmp_path):
    """A data directory with a checkpoint, and after it three batches that are in the journal alone."""
    storage = start()
    fill(storage)
    storage.checkpoint()
    for rank in (1, 2, 3):
        put(storage, "late", rank=rank)
        storage.transact(lambda tx: tx.append("log", "late", {}))
    expected = storage.read(everything)
    disk.power_cut(data_dir, tmp_path / "cut")
    storage.close()
    data_dir.rename(tmp_path / "gone")
    (tmp_path / "cut").rename(data_dir)
    return expected


def refuse(start, data_dir, name):
    """The start is refused, names the file and the last good state, and changes nothing."""
    before = contents(data_dir)
    with pytest.raises(ConfigError) as refused:
        start()
    assert str(data_dir / name) in refused.value.message
    assert "Nothing was changed" in refused.value.message
    assert contents(data_dir) == before
    return refused.value.message


@pytest.mark.parametrize(
    "tail",
    [b"{", b'{"crc":"00000000","seq":9', b"\0" * 4096, b'{"crc":"12345678",' + b"\0" * 100 + b"}\n", b"\0\0\n\0"],
)
def test_a_torn_last_line_is_dropped_and_said(tail, start, crashed, data_dir, caplog):
    journal = data_dir / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + tail)
    with caplog.at_level(logging.WARNING, logger="relay.jsonfile"):
        storage = start()
    assert f"dropped {len(tail)} bytes" in caplog.text
    assert journal.read_bytes() == whole
    assert storage.read(everything) == crashed
    put(storage, "after", rank=1)
    storage.close()
    assert get(start(), "after") == {"rank": 1}


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_a_last_line_cut_anywhere_is_dropped(keep, start, crashed, data_dir):
    journal = data_dir / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:keep])
    storage = start()
    assert storage.read(lambda tx: len(tx.read("log", "late", limit=9))) == 2
    assert get(storage, "late") == {"rank": 3}


def test_a_changed_byte_inside_the_journal_stops_the_start(start, crashed, data_dir):
    journal = data_dir / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"rank":2', b'"rank":9'))
    message = refuse(start, data_dir, "journal.jsonl")
    assert "checksum" in message
    assert "checkpoint of 2" in message


def test_a_changed_last_line_stops_the_start(start, crashed, data_dir):
    journal = data_dir / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-3] + b"}}\n")
    refuse(start, data_dir, "journal.jsonl")


def test_zeros_before_a_good_line_stop_the_start(start, crashed, data_dir):
    journal = data_dir / "journal.jsonl"
    first, rest = journal.read_bytes().split(b"\n", 1)
    journal.write_bytes(b"\0" * len(first) + b"\n" + rest)
    refuse(start, data_dir, "journal.jsonl")


def test_a_missing_line_stops_the_start(start, crashed, data_dir):
    journal = data_dir / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert "is missing" in refuse(start, data_dir, "journal.jsonl")


@pytest.mark.parametrize("name", ["things.json", "seen.json", "notes/note-1.json", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "list", "of numbers", "empty"])
def test_a_damaged_file_stops_the_start(name, damage, start, crashed, data_dir):
    path = data_dir / name
    good = path.read_bytes()
    bad = {
        "truncated": good[: len(good) // 2],
        "garbage": b"\xff\xfe\x00" + good,
        "list": b"[1, 2]\n",
        "of numbers": b"[]" if name.startswith("notes") else b'{"t0": 1, "keys": 2, "seq": "x"}',
        "empty": b"",
    }
    path.write_bytes(bad[damage])
    message = refuse(start, data_dir, name)
    if name == "things.json":
        assert "4 rows" in message


@pytest.mark.parametrize("name", ["things.json", "seen.json", "notes/note-1.json", "log/000001.jsonl"])
def test_a_missing_file_stops_the_start(name, start, crashed, data_dir):
    (data_dir / name).unlink()
    refuse(start, data_dir, name)


def test_an_indexed_field_of_a_wrong_type_stops_the_start(start, crashed, data_dir):
    (data_dir / "things.json").write_text('{"a": {"rank": 1}, "b": {"rank": 2.5}}')
    assert "rank" in refuse(start, data_dir, "things.json")


def test_a_short_segment_stops_the_start(start, crashed, data_dir):
    segment = data_dir / "log" / "000001.jsonl"
    segment.write_bytes(segment.read_bytes()[:-10])
    refuse(start, data_dir, "log/000001.jsonl")


def test_changed_heads_stop_the_start(start, crashed, data_dir):
    (heads,) = (data_dir / "log").glob("heads-*.json")
    heads.write_text(heads.read_text().replace("[3,", "[2,"))
    refuse(start, data_dir, f"log/{heads.name}")


def test_a_lost_manifest_stops_the_start(start, data_dir):
    storage = start()
    fill(storage)
    storage.close()
    (data_dir / "checkpoint.json").unlink()
    before = contents(data_dir)
    with pytest.raises(ConfigError, match=r"checkpoint\.json"):
        start()
    assert contents(data_dir) == before


def test_a_valid_edit_by_hand_is_accepted_logged_and_reported(start, data_dir, caplog):
    storage = start()
    fill(storage)
    storage.close()
    path = data_dir / "things.json"
    rows = json.loads(path.read_text())
    rows["t0"]["rank"] = 77
    rows["by hand"] = {"rank": 5}
    path.write_text(json.dumps(rows, indent=2))
    path.chmod(0o644)
    storage = start()
    assert storage.outside_changes() == {"things": str(path)}
    assert "changed by hand" in caplog.text
    assert [key for key, _ in storage.read(lambda tx: tx.scan("things", "rank", 4, limit=9))] == ["by hand", "t0"]
    storage.close()
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    storage = start()
    assert dict(storage.outside_changes()) == {}
    assert get(storage, "by hand") == {"rank": 5}


def test_documents_in_files_can_be_edited_and_added_by_hand(start, data_dir):
    storage = start()
    fill(storage)
    storage.close()
    (data_dir / "notes" / "note-1.json").write_text('{"edited": true}')
    (data_dir / "notes" / "note-2.json").write_text('{"new": true}')
    storage = start()
    assert storage.outside_changes() == {"notes": str(data_dir / "notes")}
    rows = storage.read(lambda tx: tx.scan("notes", limit=9))
    assert rows == [("note-1", {"edited": True}), ("note-2", {"new": True})]
    storage.close()
    assert dict(start().outside_changes()) == {}


def test_the_journal_is_applied_over_an_edit_after_a_crash(start, crashed, data_dir):
    (data_dir / "things.json").write_text('{"late": {"rank": 50}, "mine": {"rank": 51}}')
    storage = start()
    assert storage.read(lambda tx: tx.scan("things", limit=9)) == [("late", {"rank": 3}), ("mine", {"rank": 51})]
    assert list(storage.outside_changes()) == ["things"]


def test_files_made_by_hand_are_accepted_without_a_manifest(start, data_dir):
    data_dir.mkdir()
    (data_dir / "things.json").write_text('{"a": {"rank": 1}}')
    (data_dir / "seen.json").write_text('{"keys": {"event": "2026-01-01T00:00:00Z"}}')
    (data_dir / "unknown.json").write_text("[not even JSON")
    storage = start()
    assert set(storage.outside_changes()) == {"things", "seen"}
    assert storage.read(lambda tx: tx.get("seen", "event")) == {"value": "2026-01-01T00:00:00Z"}
    assert get(storage, "a") == {"rank": 1}
    storage.close()
    assert (data_dir / "unknown.json").read_text() == "[not even JSON"


def test_a_second_open_is_refused_and_says_who_has_it(start, data_dir):
    import os

    storage = start()
    with pytest.raises(ConfigError, match=f"in use by another relay .process {os.getpid()}"):
        start()
    put(storage, "a", rank=1)
    storage.close()
    assert get(start(), "a") == {"rank": 1}


def test_a_refused_start_gives_the_lock_back(start, crashed, data_dir):
    path = data_dir / "things.json"
    good = path.read_bytes()
    path.write_bytes(b"")
    refuse(start, data_dir, "things.json")
    path.write_bytes(good)
    assert start().read(everything) == crashed
