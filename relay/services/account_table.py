"""The operator's table of accounts: any filter with any order, a page at a time, however many rows there are.

The storage finds and sorts what it has filters and indexes for. The rest is filtered here: from the rows that another
filter leaves, if they are few, else along the order's index. No read brings more than some thousand rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from relay.books import accounts
from relay.domain.accounts import PREFIXES, type_of
from relay.domain.credits import admin_row
from relay.domain.instants import utcnow
from relay.ports.storage import Doc, ReadTx, Storage
from relay.services.policy import Policy

COLL = accounts.COLL
FEW = 5000
"""So many rows are sorted here. Where a count could only be had by looking at more, it ends here."""
MAX_WALKED = 20_000
"""Rows looked at for one page where the storage cannot filter; what lies behind them is not shown."""
SLICE = 500
FOUND = 1000
"""Rows that a search may bring to be sorted here: they come in one read."""
LAST = "\U0010ffff"

SORTS: dict[str, str | None] = {
    "credit_key": None,
    "type": None,
    "tier": "paid_tier",
    "remaining": "sort_remaining",
    "used": "sort_used",
    "total": "sort_total",
    "purchased": "purchased_balance",
    "purchased_balance": "purchased_balance",
    "last_active_at": "last_active_at",
}
"""What the table can be sorted by -> the index that does it; None: the key."""
TYPES = {kind: f"{prefix}:" for prefix, kind in PREFIXES.items()}

Rows = list[tuple[str, Doc]]


@dataclass(frozen=True, slots=True)
class Wish:
    """`search`: a part of the key. `type`: cloud, install or license. `tier`: its name. `blocked`: None for either."""

    sort: str = "credit_key"
    descending: bool = False
    search: str | None = None
    type: str | None = None
    tier: str | None = None
    blocked: bool | None = None

    @property
    def prefix(self) -> str | None:
        return TYPES[self.type] if self.type else None

    def fits(self, key: str, doc: Doc) -> bool:
        return (
            (self.search or "").casefold() in key.casefold()
            and (self.type is None or type_of(key) == self.type)
            and (self.tier is None or (doc.get("paid_tier") or "core") == self.tier)
            and (self.blocked is None or (doc.get("blocked_at") is not None) == self.blocked)
        )

    def place(self, row: tuple[str, Doc]) -> tuple[Any, str]:
        """What rows are sorted by. Core comes before the tiers that are paid for."""
        index = SORTS[self.sort]
        return ("" if index is None else row[1].get(index) or ("" if index == "paid_tier" else 0)), row[0]


class AccountTable:
    def __init__(self, storage: Storage, policy: Policy, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._policy = policy
        self._clock = clock

    def page(self, wish: Wish, *, limit: int, offset: int) -> tuple[int, bool, list[dict[str, Any]]]:
        """How many accounts match, whether there may be more than that, and one page of them."""
        few = self._few(wish)
        if few is not None:
            few.sort(key=wish.place, reverse=wish.descending)
            count, capped, rows = len(few), False, few[offset : offset + limit]
        else:
            count, capped, rows = self._many(wish, limit, offset)
        now = self._clock()
        return count, capped, [admin_row(key, accounts.load(doc), self._policy.tiers, now) for key, doc in rows]

    # Few rows: collect them, filter and sort them here. For what the storage has no filter or no index for.

    def _few(self, wish: Wish) -> Rows | None:
        """All rows that match; None when they may be more than FEW, or when the storage finds them by itself."""
        if not (wish.blocked or wish.tier == "core" or wish.type == "install" or wish.sort == "tier"):
            return None
        source = self._storage.read(lambda tx: _smallest(tx, wish))
        if source is not None:
            rows = [row for page in self._slices(source) for row in page]
        elif wish.search:
            limit = min(FEW, FOUND) + 1
            rows = self._storage.read(lambda tx: tx.scan(COLL, contains=wish.search, limit=limit))
            if len(rows) == limit:
                return None
        else:
            return None
        return [row for row in rows if wish.fits(*row)]

    def _slices(self, source: Span) -> Iterator[Rows]:
        index, first, last = source
        for at in range(0, FEW + SLICE, SLICE):
            rows = self._storage.read(
                lambda tx, at=at: tx.scan(COLL, index, first, last, limit=SLICE, offset=at)  # type: ignore[misc]
            )
            yield rows
            if len(rows) < SLICE:
                return

    # Many rows: walk the index of the order.

    def _many(self, wish: Wish, limit: int, offset: int) -> tuple[int, bool, Rows]:
        strangers = wish.type == "install" and self._storage.read(_strangers) > 0
        if wish.sort == "tier" and wish.tier is None:
            return self._by_tier(wish, limit, offset, walk=wish.blocked is not None or strangers)
        index = None if wish.sort == "tier" else SORTS[wish.sort]
        if wish.tier == "core" or wish.blocked is not None or strangers:
            return self._walk(wish, index, limit, offset)

        def read(tx: ReadTx) -> tuple[int, bool, Rows]:
            where: dict[str, str] | None = {"paid_tier": wish.tier} if wish.tier else None
            page: dict[str, Any] = {"limit": limit, "offset": offset, "reverse": wish.descending}
            rows = tx.scan(COLL, index, contains=wish.search, prefix=wish.prefix, where=where, **page)
            return (*_count(tx, wish, where), rows)

        return self._storage.read(read)

    def _walk(self, wish: Wish, index: str | None, limit: int, offset: int) -> tuple[int, bool, Rows]:
        """Row by row, where the storage has no filter for the wish."""
        found: Rows = []
        passed = 0
        for at in range(0, MAX_WALKED, SLICE):
            rows = self._storage.read(
                lambda tx, at=at: tx.scan(COLL, index, limit=SLICE, offset=at, reverse=wish.descending)  # type: ignore[misc]
            )
            for row in rows:
                if wish.fits(*row):
                    passed += 1
                    if offset < passed <= offset + limit:
                        found.append(row)
            if len(rows) < SLICE:
                return passed, False, found
            if len(found) == limit:
                break
        if wish == Wish(wish.sort, wish.descending, tier="core"):
            passed = self._storage.read(lambda tx: tx.count(COLL) - tx.count(COLL, "paid_tier"))
            return passed, len(found) < limit and offset + len(found) < passed, found
        return passed, True, found

    def _by_tier(self, wish: Wish, limit: int, offset: int, *, walk: bool) -> tuple[int, bool, Rows]:
        """Rows in core are in no index of tiers: they come before it, in the order of their keys.

        `walk`: the storage cannot filter either part.
        """
        core = replace(wish, sort="credit_key", tier="core")

        def in_core(limit: int, offset: int) -> tuple[int, bool, Rows]:
            return self._walk(core, None, limit, offset)

        def paid(limit: int, offset: int) -> tuple[int, bool, Rows]:
            if walk:
                return self._walk(wish, "paid_tier", limit, offset)
            page: dict[str, Any] = {"limit": limit, "offset": offset, "reverse": wish.descending}
            filters: dict[str, Any] = {"contains": wish.search, "prefix": wish.prefix}
            return self._storage.read(
                lambda tx: (
                    tx.count(COLL, "paid_tier", **filters),
                    False,
                    tx.scan(COLL, "paid_tier", **filters, **page),
                )
            )

        first, then = (paid, in_core) if wish.descending else (in_core, paid)
        n, capped, rows = first(limit, offset)
        if capped or offset + limit <= n:
            more, at_least, _ = then(0, 0)
            return n + more, capped or at_least, rows
        more, capped, rest = then(limit - len(rows), max(0, offset - n))
        return n + more, capped, rows + rest


Span = tuple[str | None, str | None, str | None]
"""An index (None: the keys), and the first and last value in it."""


def _smallest(tx: ReadTx, wish: Wish) -> Span | None:
    """The smallest part of an index that holds all that match; None when all are large."""
    spans: list[Span] = []
    if wish.blocked:
        spans.append(("blocked_at", None, None))
    if wish.tier not in {None, "core"}:
        spans.append(("paid_tier", wish.tier, wish.tier))
    if wish.type is not None and not (wish.type == "install" and _strangers(tx)):
        spans.append((None, TYPES[wish.type], TYPES[wish.type] + LAST))
    spans.append((None, None, None))
    count, best = min(((tx.count(COLL, *span), n) for n, span in enumerate(spans)), key=lambda found: found)
    return spans[best] if count <= FEW else None


def _strangers(tx: ReadTx) -> int:
    """Rows whose keys have none of the known prefixes. They count as installs."""
    return tx.count(COLL) - sum(tx.count(COLL, None, prefix, prefix + LAST) for prefix in TYPES.values())


def _count(tx: ReadTx, wish: Wish, where: dict[str, str] | None) -> tuple[int, bool]:
    """Exact where one index tells; else counted to FEW."""
    cap = FEW if wish.search or (where and wish.prefix) else None
    count = tx.count(COLL, contains=wish.search, prefix=wish.prefix, where=where, cap=cap)
    return count, count == cap
