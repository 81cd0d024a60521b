"""Recompute every balance from the ledger, and enter what was changed by hand into it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from relay.books import accounts, holds, jobs
from relay.domain.accounts import PREFIXES, Account, type_of
from relay.domain.holds import Hold
from relay.domain.instants import utcnow, whole
from relay.domain.jobs import Job
from relay.domain.ledger import Draft, Entry, Sums, differences, digest
from relay.errors import BadIdentity, ConfigError
from relay.identity import check_id
from relay.ports.storage import Doc, ReadTx, Storage, Tx
from relay.services.policy import Policy

log = structlog.get_logger("relay.books")
PAGE = 200
TRIES = 3
BROKEN = "broken"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def verify(storage: Storage, progress: Callable[[int, int], None] = lambda _done, _all: None) -> dict[str, Any]:
    """`{"ok", "accounts", "entries", "different": [{"credit_key", "differences", "chain"}]}`.

    Each account is checked in a consistent view of its own, so this runs beside live traffic.
    """
    different, entries, done = [], 0, 0
    holders = all_holders(storage)
    keys = storage.read(lambda tx: set(tx.partitions("ledger"))) | holders
    total = storage.read(lambda tx: tx.count(accounts.COLL))
    for page in _pages(storage):
        for key in page:
            keys.discard(key)
            found, n = check_account(storage, key, holders)
            entries += n
            different += [found] if found else []
        done += len(page)
        progress(done, max(done, total))
    for key in sorted(keys):
        found, n = check_account(storage, key, holders)
        entries += n
        different += [found] if found else []
    return {"ok": not different, "accounts": done, "entries": entries, "different": different}


def _pages(storage: Storage) -> Iterator[list[str]]:
    after: str | None = None
    while rows := storage.read(lambda tx, after=after: tx.scan(accounts.COLL, None, after, limit=PAGE)):  # type: ignore[misc]
        yield [key for key, _ in rows]
        after = rows[-1][0] + "\0"


def all_holders(storage: Storage) -> set[str]:
    """The accounts that have open holds."""
    found: set[str] = set()
    after = ""
    while page := storage.read(lambda tx, after=after: holds.page(tx, after)):  # type: ignore[misc]
        found.update(hold.account for hold in page)
        after = page[-1].job
    return found


def check_account(storage: Storage, key: str, holders: AbstractSet[str]) -> tuple[dict[str, Any] | None, int]:
    """What differs, None when nothing does; and how many entries there are.

    `holders`: what `all_holders` said a moment ago. Holds are looked through for these, and where the row and its
    entries differ: an account that got one since does.

    A long history is added up beforehand, a page at a time: entries never change, so what is left for the consistent
    view is what came since. When the month rolls meanwhile, it begins anew.
    """
    for _ in range(TRIES):
        newest = storage.read(lambda tx: tx.read("ledger", key, limit=1))
        if not newest or newest[0][0] <= PAGE:
            break
        try:
            begun = storage.read(lambda tx: accounts.get(tx, key) or accounts.new(tx, key, NEVER))
        except msgspec.ValidationError:
            break
        early = _Early(begun.cycle_started_at, newest[0][0], newest[0][1]["hash"], Sums.of(begun))
        early.whole = _add_pages(storage, key, early)
        done = storage.read(lambda tx, early=early: _check(tx, key, holders, early))  # type: ignore[misc]
        if done is not None:
            return done
    checked = storage.read(lambda tx: _check(tx, key, holders))
    assert checked is not None
    return checked


@dataclass(slots=True)
class _Early:
    """The entries up to number `newest`, whose hash is `head`, added up for the month `cycle`."""

    cycle: datetime | None
    newest: int
    head: str
    sums: Sums
    whole: bool = True


def _add_pages(storage: Storage, key: str, early: _Early) -> bool:
    """Add the entries up to `early.newest` to its sums; whether their hashes chain up."""
    expected, before, count = early.head, early.newest + 1, 0
    while page := storage.read(lambda tx, before=before: tx.read("ledger", key, before=before, limit=PAGE)):  # type: ignore[misc]
        expected = _add(page, early.sums, expected)
        before, count = page[-1][0], count + len(page)
    return expected == "" and count == early.newest


def _add(page: list[tuple[int, Doc]], sums: Sums, expected: str) -> str:
    """Add entries, newest first; the hash that the next older one must have, BROKEN where the chain is."""
    for n, doc in page:
        entry = msgspec.convert(doc, Entry)
        sums.add(entry)
        if entry.hash != expected or digest(entry) != entry.hash or entry.n != n:
            expected = BROKEN
        elif expected != BROKEN:
            expected = entry.prev
    return expected


def _check(
    tx: ReadTx, key: str, holders: AbstractSet[str], early: _Early | None = None
) -> tuple[dict[str, Any] | None, int] | None:
    """None: the month has rolled since the early part was added up."""
    try:
        account = accounts.get(tx, key) or accounts.new(tx, key, NEVER)
    except msgspec.ValidationError as exc:
        return {"credit_key": key, "differences": {}, "chain": "whole", "unreadable": str(exc)}, 0
    if early is None:
        sums, chain, n = add_up(tx, key, account)
    elif early.cycle != account.cycle_started_at:
        return None
    else:
        sums, chain, n = _add_since(tx, key, account, early)
    found = differences(account, sums, ())
    if found or key in holders:
        found = differences(account, sums, holds.of_account(tx, key))
    if not found and chain:
        return None, n
    what = {name: {"row": row, "ledger": ledger} for name, (row, ledger) in found.items()}
    return {"credit_key": key, "differences": msgspec.to_builtins(what), "chain": "whole" if chain else "broken"}, n


def _add_since(tx: ReadTx, key: str, account: Account, early: _Early) -> tuple[Sums, bool, int]:
    sums, expected, before, count = copy.deepcopy(early.sums), account.head, None, early.newest
    while True:
        page = tx.read("ledger", key, before=before, limit=PAGE)
        fresh = [(n, doc) for n, doc in page if n > early.newest]
        expected, count = _add(fresh, sums, expected), count + len(fresh)
        if len(fresh) < PAGE:
            return sums, early.whole and expected == early.head and count == account.entries, count
        before = fresh[-1][0]


def add_up(tx: ReadTx, key: str, account: Account) -> tuple[Sums, bool, int]:
    """The sums of the account's entries, whether their hashes chain up to the row's head, and how many there are."""
    sums, expected, count = Sums.of(account), account.head, 0
    before: int | None = None
    while page := tx.read("ledger", key, before=before, limit=PAGE):
        expected = _add(page, sums, expected)
        before, count = page[-1][0], count + len(page)
    return sums, expected == "" and count == account.entries, count


def adopt_outside_changes(storage: Storage, policy: Policy, clock: Callable[[], datetime] = utcnow) -> int:
    """After the rows were edited by hand: one `adjust` entry for each row that differs; returns how many.

    A key without a prefix becomes an install's. A row that was deleted comes back empty: its history stays.
    """
    edited = storage.outside_changes()
    for coll, kind in ((holds.COLL, Hold), (jobs.COLL, Job)):
        if coll in edited:
            _check_documents(storage, coll, kind, edited[coll])
    where = edited.get(accounts.COLL) or edited.get(holds.COLL)
    if where is None:
        return 0
    log.warning("edited_by_hand", where=where, note="each changed row gets an adjust entry in the ledger")
    adjusted = 0
    seen: set[str] = set()
    pages = list(_pages(storage))
    for page in pages:  # all rows first: a refused start must not have entered half of them
        for key in page:
            storage.read(lambda tx, key=key: _readable(tx, key, where))  # type: ignore[misc]
    for page in pages:
        for key in page:
            full = _full(key)
            seen.add(full)
            adjusted += storage.transact(
                lambda tx, key=key, full=full: _adopt(tx, key, full, policy, clock())  # type: ignore[misc]
            )
    for key in set(storage.read(lambda tx: tx.partitions("ledger"))) - seen:
        adjusted += storage.transact(lambda tx, key=key: _adopt(tx, key, key, policy, clock()))  # type: ignore[misc]
    return adjusted


def _check_documents(storage: Storage, coll: str, kind: type, where: str) -> None:
    """Raises ConfigError for a document of an edited file that makes no sense."""
    after: str | None = None
    while rows := storage.read(lambda tx, after=after: tx.scan(coll, None, after, limit=PAGE)):  # type: ignore[misc]
        for key, doc in rows:
            try:
                msgspec.convert(doc, kind)
            except msgspec.ValidationError as exc:
                raise _senseless(where, key, exc) from None
        after = rows[-1][0] + "\0"


def _senseless(where: str, key: str, exc: Exception) -> ConfigError:
    return ConfigError(
        f"{where}: row {key!r}: {exc}. Nothing was changed: correct it by hand, or put back the file as the last"
        " clean stop left it, from a backup"
    )


def _full(key: str) -> str:
    """A key without a prefix is an install's."""
    return key if key.partition(":")[0] in PREFIXES and ":" in key else f"inst:{key}"


def _readable(tx: ReadTx, key: str, where: str) -> None:
    """Raises ConfigError for a row that makes no sense, or is there twice."""
    try:
        accounts.get(tx, key)
    except msgspec.ValidationError as exc:
        raise _senseless(where, key, exc) from None
    full = _full(key)
    try:
        check_id(full.partition(":")[2], "the id")
    except BadIdentity as exc:
        raise _senseless(where, key, exc) from None
    if key != full and accounts.get(tx, full) is not None:
        raise ConfigError(f"{where}: rows {key!r} and {full!r} are the same install; keep one of them")


def _adopt(tx: Tx, key: str, full: str, policy: Policy, now: datetime) -> bool:
    row = accounts.get(tx, key)
    account = row or accounts.new(tx, full, now)
    for name in ("cycle_started_at", "subscription_expires_at", "created_at", "last_active_at"):
        setattr(account, name, whole(getattr(account, name)))
    if key != full:
        tx.delete(accounts.COLL, key)
    newest = tx.read("ledger", full, limit=1)
    account.entries, account.head = (newest[0][0], newest[0][1]["hash"]) if newest else (0, "")
    open_holds = holds.of_account(tx, full)
    least = Sums.of(account)
    for hold in open_holds:
        least.add_hold(hold)
    for name, value in least.counters.items():
        setattr(account, name, max(getattr(account, name), value))
    sums, chain, _ = add_up(tx, full, account)
    if not chain:
        log.error("ledger_chain_broken", account_type=type_of(full), note="entries were changed; relay ledger verify")
    found = differences(account, sums, open_holds)
    if row is None and not found:
        return False  # it was erased, and its entries say so
    account.held = found.pop("held", (0, account.held))[1]
    drafts = [_adjustment(full, account, found)] if found else []
    account.last_active_at = account.last_active_at or now
    accounts.save(tx, full, account, policy.tiers, now, drafts, actor="operator", reference="file")
    return bool(found)


def _adjustment(key: str, account: Account, found: dict[str, Any]) -> Draft:
    changes = {name: row - ledger for name, (row, ledger) in found.items() if isinstance(row, int)}
    amount = (
        changes.get("purchased_balance", 0) - changes.get("lifetime_consumed", 0) - changes.get("monthly_consumed", 0)
    )
    moved = "tier_snapshot" in found or "subscription_expires_at" in found
    log.warning("adjusted", type=type_of(key), changes=sorted(found))
    return Draft(
        "adjust",
        "",
        amount,
        "edited by hand",
        changes=changes,
        cycle=account.cycle_started_at,
        tier=account.tier_snapshot if moved else None,
        expires_at=account.subscription_expires_at if moved else None,
    )
