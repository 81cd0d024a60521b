"""What an order buys, and taking it back. Each runs inside the settlement's transaction, which makes it once."""

from __future__ import annotations

from datetime import datetime, timedelta

from relay.books import accounts, usage
from relay.domain import tiers
from relay.domain.accounts import Account
from relay.domain.ledger import Draft
from relay.domain.orders import Order
from relay.domain.tiers import Tiers
from relay.ports.storage import Tx


def hindrance(tx: Tx, order: Order, known: Tiers, now: datetime) -> str:
    """Why what was paid for cannot be given as it was ordered, so that a person must decide; "" when it can."""
    if order.kind == "package":
        return ""
    if order.tier not in known:
        return "tier_gone"
    account = accounts.get(tx, order.account)
    running = "core" if account is None or tiers.lapsed(account, now) else account.tier_snapshot
    return "tier_conflict" if running not in {"core", order.tier} else ""


def fulfil(tx: Tx, order: Order, order_id: str, known: Tiers, now: datetime, actor: str = "") -> int:
    """Give it; returns the number of the ledger entry. `actor`: the person who decided so, else it was the rail."""
    account = accounts.get(tx, order.account)
    fresh = account is None
    account = account or accounts.new(tx, order.account, now)
    drafts = tiers.refresh(account, known, now)
    if order.kind == "package":
        account.purchased_balance += order.credits
        account.purchased_total_ever += order.credits
        drafts.append(Draft("purchase", "purchased", order.credits, order.title))
    else:
        same = account.tier_snapshot == order.tier
        end = tiers.extended_end(account, order.period_days, now) if same else now + timedelta(days=order.period_days)
        drafts += tiers.change_tier(account, known, order.tier, now, expires=end, fresh=fresh, reason=order.title)
    _save(tx, order, order_id, account, drafts, known, now, actor)
    usage.paid(tx, now, order.currency, order.units)
    return account.entries


def take_back(tx: Tx, order: Order, order_id: str, known: Tiers, now: datetime, actor: str = "") -> tuple[int, int]:
    """Take back what is left of it, never below zero; returns the credits taken and those owed."""
    account = accounts.get(tx, order.account) or accounts.new(tx, order.account, now)
    drafts = tiers.refresh(account, known, now)
    taken = owed = 0
    if order.kind == "package":
        taken = min(order.credits, account.purchased_balance)
        owed = order.credits - taken
        account.purchased_balance -= taken
        account.owed += owed
        drafts.append(Draft("reversal", "purchased", -taken, f"payment taken back: {order.title}"))
    elif account.tier_snapshot == order.tier and (end := account.subscription_expires_at) is not None:
        # A tier without an end was given by a person: no payment made it longer.
        left = end - timedelta(days=order.period_days)
        over = left <= now
        name, expires = ("core", None) if over else (order.tier, left)
        drafts += tiers.change_tier(account, known, name, now, expires=expires, reason="payment taken back")
    _save(tx, order, order_id, account, drafts, known, now, actor)
    usage.taken_back(tx, now, order.currency, order.units, owed)
    return taken, owed


def _save(
    tx: Tx, order: Order, order_id: str, account: Account, drafts: list[Draft], known: Tiers, now: datetime, actor: str
) -> None:
    actor = actor or (f"rail:{order.rail}" if order.rail else "relay")
    accounts.save(tx, order.account, account, known, now, drafts, actor=actor, reference=order_id)
