"""A data dir full of accounts, entries, jobs and audit lines, written in the storage's own format.

Through the relay it would take an hour. Rows and figures are as the relay writes them; hashes are not.
"""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from relay_jsonfile.files import put_in_place, write_temp
from relay_jsonfile.layout import lines
from relay_jsonfile.log_files import LogFiles, LogWriter
from relay_jsonfile.manifest import FileState, Manifest, StreamState, save_manifest
from relay_jsonfile.snapshot import SLICE
from relay_jsonfile.stream import SEGMENT_BYTES

ACTIVE = "user:1"
"""The account with many entries."""
ACTIVE_ENTRIES = 10_000
HASH = "0" * 64


def key_of(number: int) -> str:
    return f"{('user', 'inst', 'lic')[number % 3]}:{number}" if number != 1 else ACTIVE


def when(number: int) -> str:
    return f"2026-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}T{number * 7 % 24:02}:{number * 13 % 60:02}:00Z"


def account(number: int, entries: int) -> dict[str, object]:
    used = number * 31 % 40
    row: dict[str, object] = {
        "tier_snapshot": "core",
        "lifetime_consumed": used,
        "lifetime_gemini_consumed": 0,
        "monthly_consumed": 0,
        "monthly_gemini_consumed": 0,
        "purchased_balance": number * 7919 % 1000,
        "purchased_total_ever": 1000,
        "held": 0,
        "owed": 0,
        "blocked": number % 1000 == 999,
        "core_closed": False,
        "created_at": when(number),
        "last_active_at": when(number * 3),
        "entries": entries,
        "head": HASH,
        "sort_total": number * 7919 % 1000 + 40 - used,
        "sort_remaining": 40 - used,
        "sort_used": used,
    }
    if number % 10 == 5:
        row |= {"paid_tier": "pro", "tier_snapshot": "pro", "due_at": f"2036-{number % 12 + 1:02}-01T00:00:00Z"}
    return row | ({"blocked_at": when(number)} if row["blocked"] else {})


def entry(n: int) -> bytes:
    doc = {"n": n, "at": when(n), "kind": "charge", "bucket": "lifetime", "amount": -1, "reason": "analyze"}
    doc |= {
        "actor": "relay",
        "reference": f"job_{n:024x}",
        "balance_after": 1000 - n % 1000,
        "prev": HASH,
        "hash": HASH,
    }
    return msgspec.json.encode(doc)


class Books:
    """Writes one data dir; `write` everything, then the manifest."""

    def __init__(self, data: Path, accounts: int, entries: int) -> None:
        self.data = data
        self.accounts = accounts
        self.each = max(1, entries // accounts)
        self.files: dict[str, FileState] = {}
        self.logs: dict[str, dict[int, int]] = {}

    def write(self, jobs: int) -> None:
        self.data.mkdir(parents=True)
        rows = ((key_of(number), self._row(number)) for number in range(self.accounts))
        path = self.data / "credits.json"
        digest = write_temp(path, lines(slices(sorted(rows))))
        put_in_place(path)
        self.files["credits.json"] = FileState(digest, self.accounts)
        ledger = self._ledger()
        self._log("jobs", ((f"job_{number:024x}", msgspec.json.encode(job(number))) for number in range(jobs)))
        self._log("audit", (audit_line(number) for number in range(jobs // 10)))
        save_manifest(self.data, Manifest(0, "", self.files, {"ledger": ledger}, self.logs))

    def _row(self, number: int) -> bytes:
        return msgspec.json.encode(account(number, ACTIVE_ENTRIES if number == 1 else self.each))

    def _ledger(self) -> StreamState:
        folder = self.data / "ledger"
        folder.mkdir()
        heads: dict[str, list[int]] = {}
        lengths: list[int] = []
        chunk: list[bytes] = []
        number, offset = 1, 0
        for partition, n in self._entries():
            head = heads.get(partition)
            prev = b"[%d,%d,%d]" % tuple(head[1:]) if head else b"null"
            line = b'{"n":%d,"prev":%b,"doc":%b,"partition":"%b"}\n' % (n, prev, entry(n), partition.encode())
            heads[partition] = [n, number, offset, len(line)]
            chunk.append(line)
            offset += len(line)
            if offset >= SEGMENT_BYTES:
                (folder / f"{number:06}.jsonl").write_bytes(b"".join(chunk))
                lengths.append(offset)
                chunk, number, offset = [], number + 1, 0
        (folder / f"{number:06}.jsonl").write_bytes(b"".join(chunk))
        lengths.append(offset)
        path = folder / "heads-0.json"
        digest = write_temp(path, lines(slices((name, msgspec.json.encode(head)) for name, head in heads.items())))
        put_in_place(path)
        return StreamState(lengths, len(heads), "ledger/heads-0.json", digest)

    def _entries(self) -> Iterator[tuple[str, int]]:
        """Account and number of the entry, in turns, as if all of them called now and then."""
        names = [key_of(number) for number in range(self.accounts)]
        for n in range(1, self.each + 1):
            for name in names:
                if name != ACTIVE:
                    yield name, n
        yield from ((ACTIVE, n) for n in range(1, ACTIVE_ENTRIES + 1))

    def _log(self, name: str, items: Iterable[tuple[str, bytes]]) -> None:
        log_writer = LogWriter(LogFiles(self.data / name))
        for _ in log_writer.write(items):
            pass
        log_writer.sync()
        self.logs[name] = log_writer.segments


def job(number: int) -> dict[str, object]:
    key, at = key_of(number % 5000), when(number)
    attempts = [{"backend": "spark", "at": at, "ms": 1200}]
    return {
        "account": key,
        "name": f"job_{number:024x}",
        "task": ("analyze", "transcribe")[number % 2],
        "created_at": at,
        "paid_at": at,
        "bucket": "lifetime",
        "calls": 1,
        "backend": "spark",
        "model": "m",
        "attempts": attempts,
        "inputs": {"words": 180, "note": "x" * 1000},
        "entry": 1,
        "account_at": f"{key} {at}",
    }


def audit_line(number: int) -> tuple[str, bytes]:
    at = f"2026-{number // 86400 % 12 + 1:02}-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    target = key_of(random.Random(number).randrange(1_000_000))
    doc = {"at": f"{at}Z", "actor": "admin", "action": "credits.grant", "target": target, "reason": "asked for it"}
    return f"{at}.000000Z {number:06x} admin credits.grant {target}", msgspec.json.encode(doc)


def slices(items: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    some: list[tuple[str, bytes]] = []
    for item in items:
        some.append(item)
        if len(some) == SLICE:
            yield some
            some = []
    yield some
