"""`POST /relay/discounts/preview`: what something costs with a code, before anything is bought."""

from __future__ import annotations

from typing import Annotated

import falcon
from msgspec import Meta, Struct

from relay.domain.discounts import MAX_TYPED
from relay.errors import Invalid, TooMany
from relay.http.answers import answer
from relay.http.body import read_json
from relay.http.callers import Callers
from relay.http.idempotency import once
from relay.http.rate import PerMinute
from relay.services.core import Core
from relay.services.discounts import Discounts

# Codes are short, so guessing must be slow; an account costs nothing to make, hence the address too.
PER_ACCOUNT = 10
PER_ADDRESS = 30

Name = Annotated[str, Meta(min_length=1, max_length=64)]


class PreviewBody(Struct):
    code: Annotated[str, Meta(max_length=MAX_TYPED)]
    package: Name | None = None
    tier: Name | None = None


class Preview:
    def __init__(self, core: Core, callers: Callers, discounts: Discounts) -> None:
        self._core = core
        self._callers = callers
        self._discounts = discounts
        self._accounts = PerMinute(PER_ACCOUNT)
        self._addresses = PerMinute(PER_ADDRESS)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        # Both are counted, also when one of them is used up.
        wait = max(self._accounts.hit(identity.account), self._addresses.hit(req.context.address))
        if wait:
            raise TooMany("too many codes were tried; wait a minute", retry_after=wait)
        body = read_json(req, PreviewBody)
        if (body.package is None) == (body.tier is None):
            raise Invalid("name a package or a tier, one of them", "package")
        kind, product = ("package", body.package) if body.package is not None else ("tier", body.tier)
        with once(self._core, req, resp, identity.account) as change:
            if not change.replayed:
                price, left = self._discounts.preview(body.code, kind, product or "")
                discount = {"amount": left.amount, "currency": left.currency, "list_amount": price.amount}
                answer(resp, {"ok": True, "discount": discount})
