"""The admin pages over a million accounts: how fast each answers while metered calls go on, and what that costs those.

python -m benchmarks.bench_admin [--accounts N] [--entries N] [--jobs N] [--seconds S] [--dir DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from benchmarks.books import ACTIVE, Books, key_of
from benchmarks.load import complete, drive, fast_upstream, post
from benchmarks.relays import HEADERS, relay
from relay.http.admin.access import SCOPES

RATE = 50
"""Metered calls a second while the pages are measured."""
PAGES_PER_SECOND = 2
"""Of an operator who clicks without a rest, while throughput is measured."""
CALLERS = 8
WORST = 150.0
BODY = json.dumps({"prompt": "What was decided? " + "word " * 180}).encode()
SORTS = ("credit_key", "type", "tier", "remaining", "purchased", "total", "used", "last_active_at")


def pages(accounts: int) -> list[str]:
    """Every page that reads what grows, as an operator asks for it; then all others of the table, plainly."""
    deep, some = max(0, accounts - 100), key_of(accounts // 2)
    rows = [f"sort={sort}&order={order}" for sort in SORTS for order in ("asc", "desc")]
    rows += [f"sort={sort}&offset={deep}" for sort in ("credit_key", "total")]
    rows += [f"q={text}&sort=total&order=desc" for text in (some, "user:77", "7", "nobody")]
    rows += ["type=license&sort=remaining", "type=cloud&sort=last_active_at&order=desc&offset=500"]
    rows += ["tier=pro&sort=used&order=desc", "blocked=true&sort=total", "type=cloud&tier=pro&q=5&sort=purchased"]
    found = [f"/admin/credits?limit=50&{query}" for query in rows]
    found += [f"/admin/credits/{ACTIVE}", f"/admin/credits/{ACTIVE}/history?limit=100"]
    found += [f"/admin/credits/{ACTIVE}/history?limit=100&before=500", f"/admin/credits/{some}/history"]
    found += ["/admin/jobs-history?limit=50", f"/admin/jobs-history?limit=50&account={ACTIVE}"]
    found += ["/admin/jobs-history?limit=50&task=analyze&state=completed&backend=spark", "/admin/jobs-history?q=0001f"]
    found += [f"/admin/job/job_{7:024x}/details", "/admin/audit?limit=50", "/admin/audit?limit=50&q=grant"]
    found += [f"/admin/audit?limit=50&q={some}", "/admin/usage?by=hour", "/admin/usage?by=day"]
    found += ["/admin/dashboard.csv?what=usage"]
    asked = {page.partition("?")[0] for page in found}
    found += [p for method, p in SCOPES if method == "GET" and "{" not in p and p not in asked]
    return found


class Operator:
    """A logged-in browser on one kept connection."""

    def __init__(self, port: int) -> None:
        self._http = urllib3.HTTPConnectionPool("127.0.0.1", port, retries=False, timeout=60)
        headers = {"Content-Type": "application/json"}
        answer = self._http.request("POST", "/admin/login", body=b'{"password":"benchmark"}', headers=headers)
        self._cookie = answer.headers["Set-Cookie"].partition(";")[0]

    def get(self, page: str) -> tuple[int, float]:
        """(status, milliseconds until all of it was there)."""
        start = time.perf_counter()
        answer = self._http.request("GET", page, headers={"Cookie": self._cookie})
        return answer.status, (time.perf_counter() - start) * 1000


def requests(accounts: int, count: int = 500) -> list[bytes]:
    """Metered calls of that many accounts."""
    chance = random.Random(1)
    users = (chance.randrange(0, accounts, 3) for _ in range(count))
    return [post("/relay/analyze", HEADERS | {"X-Recap-User-Id": str(user)}, BODY) for user in users]


@contextmanager
def steady_calls(port: int, calls: list[bytes]) -> Iterator[list[float]]:
    """RATE calls a second meanwhile; yields their times in ms."""
    times: list[float] = []
    stop = threading.Event()

    def work(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            due = time.perf_counter()
            while not stop.is_set():
                due += CALLERS / RATE
                stop.wait(max(0.0, due - time.perf_counter()))
                start, data = time.perf_counter(), b""
                connection.sendall(calls[(len(times) * CALLERS + number) % len(calls)])
                while not complete(data):
                    data += connection.recv(65536)
                times.append((time.perf_counter() - start) * 1000)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield times
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] if times else 0.0


def measure_pages(port: int, operator: Operator, accounts: int, rounds: int, calls: list[bytes]) -> None:
    found: dict[str, list[float]] = {}
    left_out: dict[str, int] = {}
    with steady_calls(port, calls) as quiet:
        time.sleep(3)
    with steady_calls(port, calls) as busy:
        for number in range(rounds):
            for page in pages(accounts):
                status, took = operator.get(page)
                if status != 200:
                    left_out[page] = status
                elif number or rounds == 1:
                    found.setdefault(page, []).append(took)
    for page, times in sorted(found.items(), key=lambda item: -quantile(item[1], 0.95)):
        p95 = quantile(times, 0.95)
        late = "  SLOW" if p95 > WORST else ""
        print(f"{statistics.median(times):8.1f} {p95:8.1f} ms  {page}{late}")
    for page, status in left_out.items():
        print(f"    left out: {page} answers {status}")
    worst = max((quantile(times, 0.95) for times in found.values()), default=0.0)
    print(f"{len(found)} pages, worst p95 {worst:.0f} ms, beside {RATE} metered calls/s")
    for name, times in (("no admin page", quiet), ("admin pages", busy)):
        print(f"metered calls, {name}: p50 {quantile(times, 0.5):.1f} ms, p99 {quantile(times, 0.99):.1f} ms")


def measure_cost(port: int, operator: Operator, accounts: int, rounds: int, seconds: float, call: bytes) -> None:
    """Calls per second with and without an operator, taking turns."""
    ratios: list[float] = []
    plain: list[float] = []
    for number in range(rounds):
        alone, _, _ = drive(port, call, 16, seconds)
        with clicking(operator, pages(accounts), number):
            beside, _, _ = drive(port, call, 16, seconds)
        plain.append(alone)
        ratios.append(beside / alone)
    print(
        f"metered calls: {statistics.median(plain):.0f}/s alone; beside {PAGES_PER_SECOND} admin pages a second "
        f"{statistics.median(ratios):.2f} of that ({min(ratios):.2f}-{max(ratios):.2f})"
    )


@contextmanager
def clicking(operator: Operator, asked: list[str], seed: int) -> Iterator[None]:
    stop = threading.Event()

    def work() -> None:
        chance = random.Random(seed)
        while not stop.wait(1 / PAGES_PER_SECOND):
            operator.get(chance.choice(asked))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def timed(what: str, work: Callable[[], None]) -> None:
    start = time.perf_counter()
    work()
    print(f"{what}: {time.perf_counter() - start:.1f} s", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement of throughput")
    parser.add_argument("--dir", type=Path, default=None, help="on the disk to be measured")
    options = parser.parse_args(arguments)
    cpus = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.dir) as folder, fast_upstream(cpus[-1]) as upstream:
        data = Path(folder) / "data"
        books = Books(data, options.accounts, options.entries)
        timed(f"{options.accounts} accounts, {options.entries} entries written", lambda: books.write(options.jobs))
        with relay(upstream, {cpus[0]}, data=data) as (port, process, took):
            print(f"listening after {took:.1f} s, RSS {process.memory_info().rss / 2**20:.0f} MiB", flush=True)
            os.sched_setaffinity(0, {cpus[-1]})
            operator, calls = Operator(port), requests(options.accounts)
            measure_pages(port, operator, options.accounts, options.rounds, calls)
            measure_cost(port, operator, options.accounts, max(1, options.rounds // 2), options.seconds, calls[0])
            os.sched_setaffinity(0, set(cpus))
    return 0


if __name__ == "__main__":
    main()
