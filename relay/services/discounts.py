"""Using discount codes. A use is reserved with the order, redeemed with the payment, or given back.

`reserve`, `redeem` and `cancel` run inside the caller's transaction, so a code cannot be used more often than it may
be however many buyers race, and nothing is counted for an order that was never saved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from relay.books import discounts as book
from relay.books import orders
from relay.domain.discounts import Code, Reason, Redemption, has_room, normalised, price_after, refusal
from relay.domain.instants import utcnow
from relay.domain.money import Money, money
from relay.errors import Invalid, NotFound
from relay.ports.storage import ReadTx, Storage, Tx
from relay.services.live import SettingsView

log = structlog.get_logger("relay.money")

RESERVED = timedelta(hours=1)
"""How long an unpaid order keeps a use from others. Longer than an invoice can be paid."""
BATCH = 200

SAID = {
    "unknown_code": "there is no such code; check how it is written",
    "expired": "this code has expired",
    "not_yet": "this code is not valid yet",
    "wrong_product": "this code is for something else",
    "exhausted": "this code has been used as often as it may be; if a buyer lets an invoice expire, it works again",
    "wrong_currency": "this code is for another currency",
}


class Discounts:
    def __init__(self, storage: Storage, settings: SettingsView, clock: Callable[[], datetime] = utcnow) -> None:
        self._storage = storage
        self._settings = settings
        self._clock = clock

    def reserve(self, tx: Tx, code: str, order_id: str, product: str, price: Money) -> Money:
        """Take one use of the code for the order; the price that is left, which may be 0.

        `product`: `package:<id>` or `tier:<name>`. Raises Invalid with `details.reason`; AlreadyExists when the order
        has used a code before.
        """
        now = self._clock()
        name, found = self._usable(tx, code, product, price, now)
        found.reserved += 1
        book.put(tx, name, found)
        book.insert_use(tx, order_id, Redemption(name, "reserved", now, now + RESERVED))
        return price_after(found, price)

    def redeem(self, tx: Tx, order_id: str) -> str:
        """The order is paid: its use counts. Says what the operator should know, "" for nothing.

        A reservation that was given back before the payment came is honoured at its price, whatever became of the
        code; when no use was left, it counts as one too many. The second time does nothing.
        """
        use = book.use(tx, order_id)
        if use is None or use.state == "redeemed":
            return ""
        code, alert = book.get(tx, use.code), ""
        if code is None:
            alert = f"code {use.code} is deleted, but an order that had reserved it was paid and is honoured"
        else:
            if use.state == "reserved":
                code.reserved = max(0, code.reserved - 1)
            elif not has_room(code):
                code.over_used += 1
                alert = f"code {use.code} was used once more than its {code.max_uses}: an order was paid after its time"
            code.used += 1
            book.put(tx, use.code, code)
        use.state, use.due_at = "redeemed", None
        book.put_use(tx, order_id, use)
        return alert

    def cancel(self, tx: Tx, order_id: str) -> bool:
        """The order will not be paid: give its use back, once. False when there is none to give back (any more)."""
        use = book.use(tx, order_id)
        if use is None or use.state != "reserved":
            return False
        code = book.get(tx, use.code)
        if code is not None:
            code.reserved = max(0, code.reserved - 1)
            book.put(tx, use.code, code)
        use.state, use.due_at = "cancelled", None
        book.put_use(tx, order_id, use)
        return True

    def preview(self, code: str, kind: str, product: str) -> tuple[Money, Money]:
        """What a `package` or `tier` costs without and with the code; reserves nothing. Raises NotFound or Invalid."""
        price = self._price(kind, product)

        def look(tx: ReadTx) -> Money:
            return price_after(self._usable(tx, code, f"{kind}:{product}", price, self._clock())[1], price)

        return price, self._storage.read(look)

    def sweep(self) -> int:
        """Give back what orders have reserved for an hour without being paid; return how many. For housekeeping."""
        freed = 0
        while batch := self._storage.transact(self._sweep_batch):
            freed += sum(batch)
        return freed

    def _sweep_batch(self, tx: Tx) -> list[bool]:
        now = self._clock()
        return [self._expire(tx, order_id, now) for order_id in book.due(tx, now, BATCH)]

    def _expire(self, tx: Tx, order_id: str, now: datetime) -> bool:
        """False when money is on its way, or a person decides about it: then it keeps its use for another hour."""
        order, use = orders.get(tx, order_id), book.use(tx, order_id)
        if use is not None and order is not None and order.state in {"processing", "review"}:
            use.due_at = now + RESERVED
            book.put_use(tx, order_id, use)
            return False
        return self.cancel(tx, order_id)

    def _usable(self, tx: ReadTx, typed: str, product: str, price: Money, now: datetime) -> tuple[str, Code]:
        name = normalised(typed)
        code = book.get(tx, name) if name else None
        if name is None or code is None:
            raise refused("unknown_code")
        if (reason := refusal(code, product, price, now)) is not None:
            raise refused(reason)
        return name, code

    def _price(self, kind: str, name: str) -> Money:
        if kind == "package":
            package = next((each for each in self._settings.packages if each.id == name), None)
            if package is not None:
                return money(package.price, package.currency)
            raise NotFound(f"there is no package {name!r}; see /relay/credits/packages"[:200])
        tier = self._settings.tiers.get(name)
        if tier is None or tier.price is None:
            raise NotFound(f"tier {name!r} is not on sale; see /relay/policy"[:200])
        return money(tier.price, tier.currency)


def refused(reason: Reason) -> Invalid:
    """A disabled code looks like one that never was: what the operator has taken back is nobody's business."""
    told = "unknown_code" if reason == "disabled" else reason
    return Invalid(SAID[told], "code", reason=told)
