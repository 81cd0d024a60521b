"""Buying: the order is on disk before the rail hears of it, so that no payment can come for something unknown."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from relay.books import accounts, orders
from relay.crash import crash_point
from relay.domain import tiers
from relay.domain.instants import iso, utcnow
from relay.domain.jobs import account_at
from relay.domain.money import Money, money
from relay.domain.orders import Order
from relay.domain.sweep import first_check
from relay.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RailFailed,
    RailOutcomeUnknown,
    RailUnavailable,
    RelayError,
    TooMany,
    boundary,
)
from relay.ports.auth import Identity
from relay.ports.rails import Purchase, Rail, Snapshot
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.discounts import Discounts
from relay.services.fulfil import fulfil
from relay.services.live import SettingsView
from relay.services.policy import Policy
from relay.services.settle import note

log = structlog.get_logger("relay.money")

MINUTES = 30
"""How long an invoice may be paid."""
MAX_SELLING = 8
"""Invoices being made at once at one rail. Each holds a thread as long as the rail takes; webhooks need some too."""
MAX_OPEN = 20
"""Unpaid orders of one account at a time."""
LATEST = 200
"""Orders of the account among which the unpaid ones are counted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants to buy. `kind`: `package` or `tier`; `rail` may be left out when only one sells."""

    kind: str
    product: str
    rail: str | None = None
    code: str | None = None
    redirect_url: str | None = None
    email: str | None = None


class Checkout:
    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        settings: SettingsView,
        rails: Mapping[str, Rail],
        discounts: Discounts,
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self._storage = storage
        self._policy = policy
        self._settings = settings
        self._rails = rails
        self._discounts = discounts
        self._clock = clock
        self._selling = {name: threading.BoundedSemaphore(MAX_SELLING) for name in rails}

    def start(self, identity: Identity, wish: Wish) -> dict[str, Any]:
        """The invoice to pay, in the contract's shape.

        Raises NotFound, Invalid, Forbidden (tier_not_sold_here), Conflict (tier_conflict), TooMany, RailUnavailable,
        RailFailed, or RailOutcomeUnknown: then the sweep finds out whether the rail made the invoice.
        """
        order = self._order(identity, wish)
        rail = self._choose(wish.rail, order.currency)
        order.rail = rail.name
        order_id, token = f"ord_{secrets.token_hex(16)}", secrets.token_urlsafe(16)
        order.pay = orders.token_key(token)
        self._storage.transact(lambda tx: self._save(tx, order_id, order))
        crash_point("checkout.saved")
        if order.fulfilled_at is None:
            snapshot = self._sell(rail, order_id, order, token)
            crash_point("checkout.sold")
            order = self._storage.transact(lambda tx: _sold(tx, order_id, rail, snapshot))
        return invoice_view(order_id, order) | {"pay_url": self._pay_url(token)}

    def own(self, account: str, order_id: str) -> dict[str, Any]:
        """Raises NotFound for an order that is not the account's."""
        order = self._storage.read(lambda tx: orders.get(tx, order_id))
        if order is None or order.account != account:
            raise NotFound("there is no such invoice of yours")
        return invoice_view(order_id, order)

    def page(self, account: str, before: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """Own invoices, newest first, and the `before` of the next page."""
        found = self._storage.read(lambda tx: orders.of_account(tx, account, before, limit))
        following = found[-1][1].account_at.removeprefix(f"{account} ") if len(found) == limit else None
        return [invoice_view(order_id, order) for order_id, order in found], following

    def sellers(self, currency: str) -> list[str]:
        """The rails that sell in this currency now."""
        return [
            rail.name
            for rail in self._rails.values()
            if rail.off() is None and (rail.currencies is None or currency in rail.currencies)
        ]

    def _order(self, identity: Identity, wish: Wish) -> Order:
        now, account = self._clock(), identity.account
        if wish.kind == "package":
            package = next((p for p in self._settings.packages if p.id == wish.product), None)
            if package is None:
                raise NotFound(f"there is no package {wish.product!r}; see /relay/credits/packages"[:200])
            price, title = money(package.price, package.currency), f"{package.credits} credits"
            order = Order(account, "package", package.id, title, price.units, price.currency, "", now, "")
            order.credits = package.credits
        else:
            order = self._tier_order(account, wish.product, now)
        order.list_units = order.units
        order.code, order.email, order.redirect_url = wish.code or "", wish.email or "", wish.redirect_url or ""
        return order

    def _tier_order(self, account: str, name: str, now: datetime) -> Order:
        tier = self._settings.tiers.get(name)
        if tier is None or tier.price is None or name == "core":
            raise NotFound(f"tier {name!r} is not on sale; see /relay/policy"[:200])
        if not account.startswith("user:"):
            raise Forbidden(
                "tiers are sold to users only: an install's tier comes from its licence; packages are for everybody",
                code="tier_not_sold_here",
            )
        price = money(tier.price, tier.currency)
        title = f"tier {name}, {tier.period_days} days"
        order = Order(account, "tier", name, title, price.units, price.currency, "", now, "")
        order.tier, order.period_days = name, tier.period_days
        return order

    def _choose(self, name: str | None, currency: str) -> Rail:
        sellers = self.sellers(currency)
        if name is None:
            if len(sellers) != 1:
                which = ", ".join(sellers) or "none sells now"
                raise Invalid(f"rail is required: {which}", "rail")
            name = sellers[0]
        rail = self._rails.get(name)
        if rail is None:
            raise NotFound(f"there is no payment service {name!r}; there are: {', '.join(self._rails)}"[:200])
        if rail.off() is not None:
            raise RailUnavailable(f"{name} cannot sell at the moment; choose another way to pay, or try later")
        if name not in sellers:
            raise Invalid(f"{name} does not sell in {currency}", "rail")
        return rail

    def _save(self, tx: Tx, order_id: str, order: Order) -> None:
        now = self._clock()
        account = accounts.get(tx, order.account)
        if account is not None and account.blocked:
            raise Forbidden("this account is blocked; ask the operator of this relay", code="blocked")
        if order.kind == "tier":
            self._no_conflict(tx, order, now)
        self._bounded(tx, order.account)
        order.account_at = f"{account_at(order.account, now)} {order_id}"
        if order.code:
            product = order.product
            price = self._discounts.reserve(tx, order.code, order_id, f"{order.kind}:{product}", order.price)
            order.units = price.units
        order.next_check_at = first_check(now, self._settings.reconcile.initial_delay_seconds)
        if order.units == 0:
            self._give_away(tx, order_id, order, now)
        orders.put(tx, order_id, order)

    def _give_away(self, tx: Tx, order_id: str, order: Order, now: datetime) -> None:
        """A code made it free: no rail is asked, and this transaction makes it once."""
        order.rail = ""
        order.entry = fulfil(tx, order, order_id, self._policy.tiers, now)
        order.state, order.fulfilled_at, order.next_check_at = "settled", now, None
        self._discounts.redeem(tx, order_id)

    def _no_conflict(self, tx: ReadTx, order: Order, now: datetime) -> None:
        account = accounts.get(tx, order.account)
        if account is None or tiers.lapsed(account, now) or account.tier_snapshot in {"core", order.product}:
            return
        raise Conflict(
            f"tier {account.tier_snapshot} is running; buy {order.product} when it has ended", code="tier_conflict"
        )

    def _bounded(self, tx: ReadTx, account: str) -> None:
        latest = orders.of_account(tx, account, None, LATEST)
        if sum(order.state == "pending" for _, order in latest) >= MAX_OPEN:
            raise TooMany(
                f"{MAX_OPEN} invoices of yours wait to be paid; pay one, or let them expire",
                code="too_many_calls",
                retry_after=600,
            )

    def _sell(self, rail: Rail, order_id: str, order: Order, token: str) -> Snapshot:
        save_card = order.kind == "tier" and bool(order.email)
        purchase = Purchase(
            order_id, order.price, order.title, self._pay_url(token), MINUTES, order.email or None, save_card
        )
        selling = self._selling[rail.name]
        if not selling.acquire(blocking=False):
            self._storage.transact(lambda tx: self._give_up(tx, order_id))
            raise RailUnavailable(f"{rail.name} is busy making other invoices; try again in a moment", retry_after=5)
        try:
            with boundary(rail.name, RailOutcomeUnknown):
                return rail.create_checkout(purchase)
        except RailOutcomeUnknown:
            log.warning("checkout_outcome_unknown", rail=rail.name, order=order_id)
            raise RailOutcomeUnknown(
                f"{rail.name} did not say whether the invoice was made; look at /relay/invoices/{order_id} in a minute",
                details={"invoice": order_id},
                retry_after=30,
            ) from None
        except (RailUnavailable, RailFailed) as exc:
            log.warning("checkout_failed", rail=rail.name, order=order_id, error=exc.message)
            self._storage.transact(lambda tx: self._give_up(tx, order_id))
            raise _plain(rail.name, exc) from None
        finally:
            selling.release()

    def _give_up(self, tx: Tx, order_id: str) -> None:
        """The rail made no invoice, for certain."""
        order = orders.get(tx, order_id)
        if order is not None and order.invoice is None:
            order.state, order.next_check_at = "invalid", None
            if order.code:
                self._discounts.cancel(tx, order_id)
            orders.put(tx, order_id, order)

    def _pay_url(self, token: str) -> str:
        return f"{self._settings.relay.public_url.rstrip('/')}/pay/{token}"


def _plain(rail: str, error: RelayError) -> RelayError:
    """What a buyer is told: never the rail's own text."""
    if isinstance(error, RailUnavailable):
        return RailUnavailable(f"{rail} cannot make invoices at the moment; choose another way to pay, or try later")
    return RailFailed(f"{rail} refused to make this invoice; choose another way to pay, or ask the operator")


def _sold(tx: Tx, order_id: str, rail: Rail, snapshot: Snapshot) -> Order:
    order = orders.get(tx, order_id)
    assert order is not None
    if order.invoice is None:
        note(order, rail, snapshot)
        orders.put(tx, order_id, order)
    return order


def invoice_view(order_id: str, order: Order) -> dict[str, Any]:
    """The contract's `invoice`."""
    return {
        "id": order_id,
        "rail": order.rail or None,
        "kind": order.kind,
        "product": order.product,
        "status": order.state,
        "fulfilled": order.fulfilled_at is not None,
        "amount": Money(order.units, order.currency).amount,
        "currency": order.currency,
        "checkout_url": order.checkout_url or None,
        "created_at": iso(order.created_at),
        "expires_at": iso(order.expires_at),
        "fulfilled_at": iso(order.fulfilled_at),
    }
