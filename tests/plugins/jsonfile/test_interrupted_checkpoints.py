"""Checkpoints that are killed or fail, one after the other: the next start neither refuses nor cries "edited"."""

import os
import subprocess
import sys

import pytest
import relay_jsonfile.checkpoint as checkpoints
from relay_jsonfile import JSONFileStorage

from relay.testing.storage import COLLECTIONS, STREAMS

CHILD = """
import sys
from pathlib import Path
from relay_jsonfile import JSONFileStorage
from relay.testing.storage import COLLECTIONS, STREAMS
storage = JSONFileStorage()
storage.open(Path(sys.argv[1]), COLLECTIONS, STREAMS)
def put(coll, key, value): storage.transact(lambda tx: tx.put(coll, key, {"value": value}))
def delete(coll, key): storage.transact(lambda tx: tx.delete(coll, key))
"""


def killed_at(point: str, work: str, data_dir) -> None:
    """Run `work` and a checkpoint in a process that is killed at `point`; "" lets it stop without a clean close."""
    env = os.environ | {"RELAY_CRASH_POINT": point}
    code = f"{CHILD}\n{work}\nstorage.checkpoint()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(data_dir)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == (-9 if point else 0), done.stderr


@pytest.mark.parametrize("coll", ["things", "notes"])
@pytest.mark.parametrize("second", ["jsonfile.checkpoint-announced", "jsonfile.checkpoint-renamed"])
def test_two_kills_in_a_row_are_no_edit_by_hand(start, data_dir, coll, second):
    killed_at("", f'put("{coll}", "m1", 1)', data_dir)
    killed_at("jsonfile.checkpoint-renamed", f'put("{coll}", "m1", 2)', data_dir)
    killed_at(second, f'put("{coll}", "m1", 3)', data_dir)
    storage = start()
    assert storage.read(lambda tx: tx.get(coll, "m1")) == {"value": 3}
    assert storage.outside_changes() == {}


def test_a_document_deleted_and_made_again_over_two_kills_is_there(start, data_dir):
    killed_at("", 'put("notes", "m1", 1)', data_dir)
    killed_at("jsonfile.checkpoint-renamed", 'delete("notes", "m1")', data_dir)
    killed_at("jsonfile.checkpoint-announced", 'put("notes", "m1", 2)', data_dir)
    storage = start()
    assert storage.read(lambda tx: tx.get("notes", "m1")) == {"value": 2}
    assert storage.outside_changes() == {}


def test_a_checkpoint_whose_tidying_failed_is_still_the_newest(tmp_path, monkeypatch):
    storage = JSONFileStorage()
    storage.open(tmp_path / "data", COLLECTIONS, STREAMS)
    for n in range(3):
        storage.transact(lambda tx, n=n: (tx.put("things", "user:u", {"n": n}), tx.append("log", "user:u", {"n": n})))
        if n == 1:
            tidy = checkpoints.remove_outdated

            def failing(*args, tidy=tidy):
                tidy(*args)
                raise OSError(5, "Input/output error")

            monkeypatch.setattr(checkpoints, "remove_outdated", failing)
            with pytest.raises(Exception, match="checkpoint failed"):
                storage.checkpoint()
            monkeypatch.setattr(checkpoints, "remove_outdated", tidy)
        elif n == 0:
            storage.checkpoint()

    def stop_here(*_):
        raise OSError(5, "as if killed between the announcement and the final manifest")

    monkeypatch.setattr(checkpoints, "_put_in_place", stop_here)
    with pytest.raises(Exception, match="checkpoint failed"):
        storage.checkpoint()
    os.close(storage._lock_fd)  # the process is gone, without a clean close
    again = JSONFileStorage()
    again.open(tmp_path / "data", COLLECTIONS, STREAMS)
    assert again.read(lambda tx: tx.get("things", "user:u")) == {"n": 2}
    assert [doc["n"] for _, doc in again.read(lambda tx: tx.read("log", "user:u", limit=9))] == [2, 1, 0]
    again.close()
