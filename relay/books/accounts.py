"""Account rows. A row is made only by a hold, a grant or a tier change; reading makes none."""

from __future__ import annotations

from collections.abc import Sequence
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
) -> None:
    """Save the row with its derived fields, and append an entry for each draft: always together."""
    total = tiers.derive(account, tiers_now, now)
    for draft in drafts:
        entry = ledger.seal(account, draft, now=now, actor=actor, reference=reference, balance=total)
        tx.append("ledger", key, entry)
    tx.put(COLL, key, account)


def history(tx: ReadTx, key: str, *, limit: int, before: int | None = None) -> list[ledger.Entry]:
    """Ledger entries of the account, newest first."""
    return [msgspec.convert(doc, ledger.Entry) for _, doc in tx.read("ledger", key, before=before, limit=limit)]
