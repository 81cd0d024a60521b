"""The rail port: a payment service that sells for us and says what was paid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from relay.domain.money import Money
from relay.ports.inference import Health

Status = Literal["pending", "processing", "settled", "expired", "underpaid", "late", "invalid", "unknown"]
"""A rail's own word in ours. `processing`: paid, not final. `underpaid`: closed with too little. `late`: paid in full
after the end. `unknown`: a word the rail's plugin does not know; it grants nothing and closes nothing."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the rail is to sell. `order_id`: ours, random, one per try; the rail must be able to find it again.
    `minutes`: how long it may be paid. `save_card`: offer the buyer to keep the card for renewals."""

    order_id: str
    amount: Money
    title: str
    return_url: str
    minutes: int
    email: str | None = None
    save_card: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One invoice as the rail itself shows it now. `order_id`: ours, as the rail echoes it. `word`: its own status.
    `amount`: what it asks; `paid`: what has arrived, where it says. `store`: whose it is. `marked`: a person set the
    status. `monitored_until`: until then a payment may still come. `contact`: the buyer there, for saved cards."""

    invoice_id: str
    order_id: str | None
    status: Status
    word: str
    amount: Money | None
    store: str
    checkout_url: str = ""
    paid: Money | None = None
    marked: bool = False
    over: bool = False
    refunded: bool = False
    created_at: datetime | None = None
    expires_at: datetime | None = None
    monitored_until: datetime | None = None
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it came. `headers` have lower-case names; `token`: the end of the path, "" without one."""

    body: bytes
    headers: Mapping[str, str]
    token: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a delivery says: a hint, whoever signed it. `event`: the rail's word. `acts` False: of no interest here.
    `delivery`: the same for copies of one delivery, "" when the rail gives none. `signed`: its sender is proven."""

    event: str
    invoice_id: str | None = None
    order_id: str | None = None
    delivery: str = ""
    acts: bool = True
    signed: bool = False


class Rail(Protocol):
    """`currencies`: what it can be asked for, None for any. Calls may take seconds and raise RailUnavailable (nothing
    happened, or only a read failed), RailFailed (refused, for certain) or RailOutcomeUnknown (it may have happened)."""

    name: str
    currencies: frozenset[str] | None
    id_field: str
    """What the answer to a webhook calls the rail's id of an invoice: `invoiceId` (BTCPay) or `orderId` (Zaprite)."""
    store: str
    """Whose invoices are ours: what `Snapshot.store` must say; "" when that is not known."""

    def off(self) -> str | None:
        """Why it cannot sell now (not connected yet, no URL), in words for the operator; None when it can."""

    def dedup_key(self, invoice_id: str) -> str:
        """The key under which one payment is credited once, whatever happens around it."""

    def create_checkout(self, purchase: Purchase) -> Snapshot: ...

    def read_webhook(self, delivery: Delivery) -> Notice:
        """No network. Raises Unauthenticated (bad signature), NotFound (wrong token) or BadRequest (unreadable)."""

    def fetch(self, invoice_id: str) -> Snapshot | None:
        """None: the rail says for certain that it has no such invoice."""

    def find(self, order_id: str) -> Snapshot | None:
        """The invoice made for our order, after the answer to `create_checkout` was lost."""

    def list_recent(self, since: datetime) -> Iterator[Snapshot]:
        """Settled invoices of the store, newest first, from pages of a bounded size. Others may share the store."""

    def health(self) -> Health:
        """May take up to five seconds; never raises."""

    def close(self) -> None: ...


@runtime_checkable
class SavedCards(Protocol):
    """A rail that can charge a card the buyer chose to keep."""

    def saved_card(self, contact: str, order_id: str) -> str | None:
        """The card kept with that order, if it is there yet. It may appear minutes after the payment."""

    def charge(self, invoice_id: str, card: str) -> Snapshot:
        """Only a snapshot that says `settled` is a payment. RailOutcomeUnknown: look before charging again."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a connect wizard stands. `redirect`: send the operator's browser there. `choose`: stores (id -> name) to
    choose from. `done`: what was connected, in words."""

    redirect: str = ""
    choose: Mapping[str, str] | None = None
    done: str = ""


@runtime_checkable
class Connectable(Protocol):
    """A rail whose credentials a wizard can fetch; it keeps them in its private space."""

    def connect_start(self, return_url: str) -> Step:
        """`return_url` carries the single-use state that the core checks."""

    def connect_finish(self, form: Mapping[str, Sequence[str]], webhook_url: str) -> Step: ...

    def connect_choose(self, store: str, webhook_url: str) -> Step: ...

    def disconnect(self) -> str:
        """Remove our webhook and key there; what could not be removed is said in the answer."""

    def connection(self) -> Mapping[str, object]:
        """What the admin page shows: connected, store, where the credentials come from, webhook."""
