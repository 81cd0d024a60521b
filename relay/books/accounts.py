"""Account rows. A row is made only by a hold, a grant or a tier change; reading makes none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from relay.books import usage
from relay.domain import ledger, tiers
from relay.domain.accounts import Account, type_of
from relay.domain.ledger import Draft
from relay.domain.tiers import Tiers
from relay.domain.usage import Usage
from relay.ports.storage import Doc, ReadTx, Tx

COLL = "credits"
COUNTED = (
    "lifetime_consumed",
    "lifetime_gemini_consumed",
    "monthly_consumed",
    "monthly_gemini_consumed",
    "purchased_balance",
    "held",
    "owed",
)


def get(tx: ReadTx, key: str) -> Account | None:
    return tx.get(COLL, key, Account)


def new(tx: ReadTx, key: str, now: datetime) -> Account:
    """A row for a key that has none. Where an erased one left its entries, their chain goes on.

    Its making counts as activity.
    """
    account = Account(created_at=now, last_active_at=now)
    newest = tx.read("ledger", key, limit=1)
    if newest:
        account.entries, account.head = newest[0][0], newest[0][1]["hash"]
    return account


def delete(tx: Tx, key: str) -> None:
    """The row alone: its entries stay."""
    tx.delete(COLL, key)


def load(doc: Doc) -> Account:
    return msgspec.convert(doc, Account)


def save(
    tx: Tx,
    key: str,
    account: Account,
    tiers_now: Tiers,
    now: datetime,
    drafts: Sequence[Draft] = (),
    *,
    actor: str = "",
    reference: str = "",
    counting: Callable[[Usage], None] | None = None,
) -> None:
    """Save the row with its derived fields, append an entry for each draft, and count them: always together.

    `counting`: what else happened, for the same row of figures.
    """
    if min(getattr(account, name) for name in COUNTED) < 0:
        raise ArithmeticError(f"a balance would be below zero: {type_of(key)}")  # such a row could not be read again
    fresh = account.created_at == now and tx.get(COLL, key) is None
    if drafts or fresh or counting is not None:
        usage.count_entries(tx, now, drafts, fresh=fresh, counting=counting)
    total = tiers.derive(account, tiers_now, now)
    for draft in drafts:
        entry = ledger.seal(account, draft, now=now, actor=actor, reference=reference, balance=total)
        tx.append("ledger", key, entry)
    tx.put(COLL, key, account)


def history(tx: ReadTx, key: str, *, limit: int, before: int | None = None) -> list[ledger.Entry]:
    """Ledger entries of the account, newest first."""
    return [msgspec.convert(doc, ledger.Entry) for _, doc in tx.read("ledger", key, before=before, limit=limit)]
