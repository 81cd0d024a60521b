"""What an operator does with discount codes: make, list, change, disable, delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import UNSET, Meta, Struct, UnsetType

from relay.books import audit
from relay.books import discounts as book
from relay.domain.discounts import WHOLE, Code, Kind, gives_all, normalised
from relay.domain.instants import iso, utcnow, whole
from relay.domain.money import Money
from relay.errors import Conflict, Invalid, NotFound
from relay.ports.storage import AlreadyExists, ReadTx, Storage, Tx
from relay.services.live import SettingsView

log = structlog.get_logger("relay.money")

MAX_CODES = 10_000

Label = Annotated[str, Meta(max_length=200)]
Uses = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Instant = Annotated[datetime, Meta(tz=True)]
Names = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=100)]


class NewCode(Struct, frozen=True, forbid_unknown_fields=True):
    """As `relay.domain.discounts.Code`, under the name that people type."""

    code: Annotated[str, Meta(max_length=200)]
    kind: Kind
    value: Annotated[int, Meta(ge=0, le=2**50)] = 0
    currency: Annotated[str, Meta(pattern=r"^([A-Z]{3,5})?$(?!\n)")] = ""
    max_uses: Uses | None = None
    products: Names = ()
    tiers: Names = ()
    starts_at: Instant | None = None
    expires_at: Instant | None = None
    active: bool = True
    label: Label = ""


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """What is not said stays. What a code takes off does not change: buyers have it in writing; make another code."""

    active: bool | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    max_uses: Uses | UnsetType | None = UNSET
    products: Names | UnsetType = UNSET
    tiers: Names | UnsetType = UNSET
    starts_at: Instant | UnsetType | None = UNSET
    expires_at: Instant | UnsetType | None = UNSET


class Codes:
    def __init__(self, storage: Storage, settings: SettingsView, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._settings = settings
        self._clock = clock

    def create(self, new: NewCode, *, actor: str) -> dict[str, Any]:
        """Raises Invalid, or Conflict when the name is taken or there are too many."""
        name = normalised(new.code)
        if name is None:
            raise Invalid("a code is 3 to 40 characters of A-Z 0-9 - _; letter case does not matter", "code")
        code = Code(
            new.kind,
            self._clock(),
            new.value,
            new.currency,
            new.max_uses,
            products=new.products,
            tiers=new.tiers,
            starts_at=whole(new.starts_at),
            expires_at=whole(new.expires_at),
            active=new.active,
            label=new.label,
        )
        check(code)
        self._on_sale(new.products, new.tiers)

        def create(tx: Tx) -> None:
            if book.count(tx) >= MAX_CODES:
                raise Conflict(f"there are {MAX_CODES} codes; delete some that nobody has used")
            try:
                book.insert(tx, name, code)
            except AlreadyExists:
                raise Conflict(f"there is a code {name} already; change it, or choose another name") from None
            audit.record(tx, actor, "codes.create", name, after=view(name, code))

        self._storage.transact(create)
        log.info("code_created", code=name, kind=code.kind, actor=actor)
        return view(name, code)

    def page(self, limit: int, offset: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """How many there are, and some of them, the newest first."""

        def page(tx: ReadTx) -> tuple[int, list[dict[str, Any]]]:
            return book.count(tx), [view(*row) for row in book.newest(tx, limit, offset)]

        return self._storage.read(page)

    def change(self, typed: str, change: Change, *, actor: str) -> dict[str, Any]:
        """Raises NotFound or Invalid. What is reserved already keeps its price."""
        told = {field: value for field, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        for field in ("starts_at", "expires_at"):
            if told.get(field) is not None:
                told[field] = whole(told[field])
        self._on_sale(told.get("products", ()), told.get("tiers", ()))

        def change_it(tx: Tx) -> tuple[str, Code]:
            name, old = _find(tx, typed)
            code = msgspec.structs.replace(old, **told)
            check(code)
            book.put(tx, name, code)
            before, after = view(name, old), view(name, code)
            changed = {field for field in after if before[field] != after[field]}
            audit.record(
                tx,
                actor,
                "codes.change",
                name,
                before={field: before[field] for field in changed},
                after={field: after[field] for field in changed},
            )
            return name, code

        name, code = self._storage.transact(change_it)
        log.info("code_changed", code=name, fields=sorted(told), actor=actor)
        return view(name, code)

    def delete(self, typed: str, *, actor: str) -> str:
        """Raises NotFound, or Conflict when an order uses it: what was sold under it must stay explainable."""

        def delete(tx: Tx) -> str:
            name, code = _find(tx, typed)
            if code.used or code.reserved:
                raise Conflict(f"{name} has been used; disable it instead (active = false)")
            book.delete(tx, name)
            audit.record(tx, actor, "codes.delete", name, before=view(name, code))
            return name

        name = self._storage.transact(delete)
        log.info("code_deleted", code=name, actor=actor)
        return name

    def _on_sale(self, products: tuple[str, ...], tiers: tuple[str, ...]) -> None:
        """Raises Invalid. Only for what is said now: a code must stay changeable when a product goes."""
        _known("products", products, {package.id for package in self._settings.packages})
        _known("tiers", tiers, {name for name, tier in self._settings.tiers.items() if tier.price is not None})


def check(code: Code) -> None:
    """What types cannot say. Raises Invalid."""
    if code.kind in {"fixed", "set_price"} and not code.currency:
        raise Invalid(f"{code.kind} needs the currency its value is in", "currency")
    if code.kind == "percent" and not 1 <= code.value <= WHOLE:
        raise Invalid(f"percent is in basis points: 2500 is 25 %, at most {WHOLE}", "value")
    if code.kind == "fixed" and code.value == 0:
        raise Invalid("fixed needs a value: what is taken off, in the smallest unit of the currency", "value")
    if code.kind == "free" and code.value:
        raise Invalid("free takes no value", "value")
    if gives_all(code) and code.max_uses is None:
        raise Invalid("a code that makes things free needs max_uses: one buyer could use it without end", "max_uses")
    if code.starts_at is not None and code.expires_at is not None and code.expires_at <= code.starts_at:
        raise Invalid("expires_at must be later than starts_at", "expires_at")


def _known(field: str, names: tuple[str, ...], known: set[str]) -> None:
    for n, name in enumerate(names):
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise Invalid(f"{name!r} is not on sale; on sale are: {there}"[:300], f"{field}.{n}")


def _find(tx: ReadTx, typed: str) -> tuple[str, Code]:
    name = normalised(typed)
    code = book.get(tx, name) if name else None
    if name is None or code is None:
        raise NotFound(f"there is no code {typed[:40]!r}")
    return name, code


def view(name: str, code: Code) -> dict[str, Any]:
    """As the operator sees it. `amount`: `value` as a decimal, where it is money."""
    return {
        "code": name,
        "kind": code.kind,
        "value": code.value,
        "amount": Money(code.value, code.currency).amount if code.kind in {"fixed", "set_price"} else None,
        "currency": code.currency or None,
        "max_uses": code.max_uses,
        "used": code.used,
        "reserved": code.reserved,
        "over_used": code.over_used,
        "products": list(code.products),
        "tiers": list(code.tiers),
        "starts_at": iso(code.starts_at),
        "expires_at": iso(code.expires_at),
        "active": code.active,
        "label": code.label,
        "created_at": iso(code.created_at),
    }
