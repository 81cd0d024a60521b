"""Account rows. A row is made only by a hold, a grant or a tier change; reading makes none."""

from __future__ import annotations

from datetime import datetime

import msgspec

from relay.domain import ledger, tiers
from relay.domain.accounts import Account
from relay.domain.ledger import Draft
from relay.domain.tiers import Tiers
from relay.ports.storage import Doc, ReadTx, Tx

COLL = "credits"


def get(tx: ReadTx, key: str) -> Account | None:
    return tx.get(COLL, key, Account)


def load(doc: Doc) -> Account:
    return msgspec.convert(doc, Account)


def put(tx: Tx, key: str, account: Account, tiers_now: Tiers, now: datetime) -> None:
    """Save the row with its derived fields. `last_active_at` is the caller's to set."""
    tiers.derive(account, tiers_now, now)
    tx.put(COLL, key, account)


def book(
    tx: Tx,
    key: str,
    account: Account,
    draft: Draft,
    tiers_now: Tiers,
    now: datetime,
    *,
    actor: str,
    reference: str = "",
) -> None:
    """Append one entry to the account's ledger. The caller has changed the row and saves it in the same transaction."""
    balance = tiers.spendable(account, tiers.tier_of(account, tiers_now, now))
    entry = ledger.seal(account, draft, now=now, actor=actor, reference=reference, balance=balance)
    tx.append("ledger", key, entry)


def history(tx: ReadTx, key: str, *, limit: int, before: int | None = None) -> list[ledger.Entry]:
    """Ledger entries of the account, newest first."""
    return [msgspec.convert(doc, ledger.Entry) for _, doc in tx.read("ledger", key, before=before, limit=limit)]
