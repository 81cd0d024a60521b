"""A relay that can be killed at any moment, callers that write down what they got, and the count afterwards."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import urllib3
from relay_jsonfile.storage import JSONFileStorage

from relay.books import usage
from relay.domain.usage import total
from relay.ports.storage import COLLECTIONS, STREAMS
from tests.loopback import HANG_UP, Server, json_reply

CREDITS = 1_000_000
KEY = "operator-key-for-tests"
TIMEOUT = urllib3.Timeout(connect=5, read=20)
SETTINGS = f"""
[relay]
threads = 24
reserve_threads = 4
pin_cpu = false
log_level = "error"
admin_password = "only for tests"
[tiers.core]
lifetime_credits = {CREDITS}
[limits]
requests_per_minute = 0
concurrent_calls = 0
new_installs_per_address_per_hour = 0
[plugins.jsonfile]
checkpoint_seconds = 1
[plugins.operator_key]
key = "{KEY}"
[plugins.spark]
url = "URL"
model = "m"
max_concurrent = 8
"""
HEADERS = {"X-Recap-Operator-Key": KEY, "X-Recap-User-Id": "u", "Content-Type": "application/json"}


def answer(request):
    """What the upstream says: a job whose number ends in 7 fails, the rest get an answer."""
    prompt = request.json()["messages"][-1]["content"]
    if prompt.endswith("7 first"):
        return HANG_UP
    choice = {"message": {"role": "assistant", "content": f"answer to {prompt}"}, "finish_reason": "stop"}
    return json_reply({"choices": [choice], "model": "m", "usage": {}})


class Nursery:
    """Starts relays on one data dir, one after the other, and kills them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.upstream = Server(answer)
        self.pid = 0

    def __enter__(self):
        self.upstream.__enter__()
        (self.folder / "plugins.toml").write_text(SETTINGS.replace("URL", self.upstream.url))
        command = [sys.executable, "-m", "tests.crash.nursery"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_) -> None:
        self.kill()
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        self.upstream.__exit__()

    def start(self, crash_point: str = "") -> str:
        """The URL of a fresh relay."""
        (self.folder / "out").unlink(missing_ok=True)
        order = {"config": str(self.folder / "plugins.toml"), "data": str(self.folder / "data")}
        self.process.stdin.write(json.dumps(order | {"crash_point": crash_point}) + "\n")
        self.process.stdin.flush()
        self.pid = int(self.process.stdout.readline())
        for _ in range(2000):
            with contextlib.suppress(FileNotFoundError):
                line = (self.folder / "out").read_text()
                if "\n" in line:
                    return line.split("listening on ")[1].strip()
            if not self.alive():
                break
            time.sleep(0.01)
        pytest.fail(f"the relay did not start: {(self.folder / 'err').read_text()}")

    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return "Z" not in Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1][:3]

    def kill(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self, seconds: float = 20) -> bool:
        """Whether the relay is gone within `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if self.alive():
                    time.sleep(0.002)
                    continue
            self.pid = 0
            return True
        return False


class Callers:
    """Threads that call as fast as they can. Each job is in exactly one of the sets once its call has ended."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.answered: set[int] = set()
        self.unknown: set[int] = set()
        self.failed: set[int] = set()

    def run(self, url: str, threads: int = 8):
        """Start calling; returns a function that stops and joins."""
        stop = threading.Event()
        running = [threading.Thread(target=self._loop, args=(url, stop)) for _ in range(threads)]
        for thread in running:
            thread.start()

        def end() -> None:
            stop.set()
            for thread in running:
                thread.join(60)

        return end

    def _loop(self, url: str, stop: threading.Event) -> None:
        with urllib3.PoolManager(maxsize=1, retries=False) as pool:
            while not stop.is_set():
                number = next(self.numbers)
                status = call(pool, url, number, "first")
                if status is None:
                    self.unknown.add(number)
                    return
                (self.answered if status == 200 else self.failed).add(number)


def call(pool, url: str, number: int, note: str) -> int | None:
    """The status of one analyze call of job `number`; None when no answer came."""
    body = json.dumps({"prompt": f"job {number} {note}"}).encode()
    headers = HEADERS | {"X-Recap-Job-Id": f"job-{number}"}
    try:
        return pool.request("POST", f"{url}/relay/analyze", body=body, headers=headers, timeout=TIMEOUT).status
    except urllib3.exceptions.HTTPError:
        return None


def credits_of(url: str) -> dict:
    return urllib3.request("GET", f"{url}/relay/credits", headers=HEADERS, timeout=TIMEOUT).json()["credits"]


def ledger_verify(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "relay", "ledger", "verify", "--config", folder / "plugins.toml"]
    return subprocess.run(
        [*command, "--data", folder / "data"], capture_output=True, text=True, timeout=120, check=False
    )


def assert_figures_agree(folder: Path) -> None:
    """The figures of the days hold exactly what the ledger and the output store hold."""
    storage = JSONFileStorage()
    storage.open(folder / "data", COLLECTIONS, STREAMS)
    try:
        ever, days, entries, kept = storage.read(_figures)
    finally:
        storage.close()
    assert days == ever
    assert ever.charged == sum(entry["kind"] == "charge" for entry in entries)
    assert ever.refunded == sum(entry["kind"] == "refund" for entry in entries)
    assert ever.stored == sum(doc["bytes"] for doc in kept)


def _figures(tx):
    names = sorted({key[2:12] for key, _ in tx.scan(usage.COLL, limit=1000) if key[0] in "do"})
    days = total(usage.rows(tx, usage.DAY, names).values())
    entries = [doc for name in tx.partitions("ledger") for _, doc in tx.read("ledger", name, limit=10**6)]
    return usage.since_the_start(tx), days, entries, [doc for _, doc in tx.scan("outputs", limit=10**6)]
