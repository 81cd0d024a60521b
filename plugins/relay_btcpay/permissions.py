"""What a BTCPay API key may do. A key lists what was granted, and not what that implies.

`btcpay.store.canviewinvoices` is a grant for all stores, `btcpay.store.canviewinvoices:STORE` for one.
"""

from __future__ import annotations

from collections.abc import Iterable

CREATE = "btcpay.store.cancreateinvoice"
VIEW = "btcpay.store.canviewinvoices"
WEBHOOKS = "btcpay.store.webhooks.canmodifywebhooks"
VIEW_STORE = "btcpay.store.canviewstoresettings"
MODIFY_STORE = "btcpay.store.canmodifystoresettings"
MODIFY_INVOICES = "btcpay.store.canmodifyinvoices"
UNRESTRICTED = "unrestricted"

NEEDED = (CREATE, VIEW, WEBHOOKS, VIEW_STORE)
TO_SELL = (CREATE, VIEW)
"""Enough for a key that an operator made by hand: webhooks and health then show less."""

IMPLIED = {
    UNRESTRICTED: (MODIFY_STORE,),
    MODIFY_STORE: (WEBHOOKS, MODIFY_INVOICES, VIEW_STORE),
    MODIFY_INVOICES: (VIEW, CREATE),
    VIEW_STORE: (VIEW,),
}


def allowed(granted: Iterable[object], store: str) -> frozenset[str]:
    """Everything a key with these grants may do with the store, implied permissions included."""
    found: set[str] = set()
    todo = [name for grant in granted if isinstance(grant, str) for name in _for_store(grant, store)]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += IMPLIED.get(name, ())
    return frozenset(found)


def stores_of(granted: Iterable[object]) -> list[str]:
    """The stores that are named in the grants, in their order."""
    named = [grant.partition(":")[2] for grant in granted if isinstance(grant, str)]
    return list(dict.fromkeys(filter(None, named)))


def missing(granted: Iterable[object], store: str, needed: Iterable[str] = NEEDED) -> list[str]:
    have = allowed(granted, store)
    return [name for name in needed if name not in have]


def _for_store(grant: str, store: str) -> list[str]:
    name, _, scope = grant.partition(":")
    return [name] if scope in {"", store} else []
