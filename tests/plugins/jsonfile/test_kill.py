"""kill -9 under load: every acknowledged change is there afterwards, and nothing is there by half."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.plugins.jsonfile.load import THREADS

POINTS = [
    "journal-written",
    "journal-synced",
    "before-segment-write",
    "after-segment-write",
    "journal-renamed",
    "checkpoint-files-written",
    "checkpoint-announced",
    "checkpoint-renaming",
    "checkpoint-renamed",
    "checkpoint-manifest-written",
]
ROOT = Path(__file__).parents[3]


def run_load(data_dir, *, crash_point="", seconds=0.0):
    """Run the load until it dies at the crash point, or kill it; returns the last acknowledged count per thread."""
    env = {**os.environ, "RELAY_CRASH_POINT": crash_point}
    command = [sys.executable, "-m", "tests.plugins.jsonfile.load", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, cwd=ROOT) as process:
        output = b""
        if not crash_point:
            output = process.stdout.readline()
            time.sleep(seconds)
            process.kill()
        output += process.communicate(timeout=60)[0]
    assert process.returncode == -signal.SIGKILL
    acknowledged = {}
    for line in output.decode().splitlines():
        name, count = line.split()
        acknowledged[name] = int(count)
    return acknowledged


def check(storage, acknowledged):
    def look(tx):
        things = {key: doc["rank"] for key, doc in tx.scan("things", limit=99)}
        total = things.pop("total", 0)
        for name, count in acknowledged.items():
            assert count <= things[name] <= count + 1
        assert total == sum(things.values())
        entries = tx.read("log", "total", limit=10**9)
        assert [n for n, _ in entries] == list(range(total, 0, -1))
        for name, count in things.items():
            assert [doc["count"] for _, doc in entries if doc["by"] == name] == list(range(count, 0, -1))
        ranked = [doc["rank"] for _, doc in tx.scan("things", "rank", limit=99)]
        assert ranked == sorted(ranked)
        assert len(ranked) == tx.count("things")
        return things

    things = storage.read(look)
    assert len(things) <= THREADS
    assert dict(storage.outside_changes()) == {}
    return things


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_named_point_loses_nothing(point, start, data_dir):
    things = {}
    for nth in (1, 2, 5):
        acknowledged = run_load(data_dir, crash_point=f"jsonfile.{point}:{nth}")
        storage = start()
        things = check(storage, things | acknowledged)
        if nth == 2:
            storage.checkpoint()
        storage.close()


@pytest.mark.slow
def test_a_kill_at_random_moments_loses_nothing(start, data_dir):
    chance = random.Random()
    things = {}
    for _ in range(8):
        acknowledged = run_load(data_dir, seconds=chance.uniform(0, 0.4))
        storage = start()
        things = check(storage, things | acknowledged)
        storage.close()
