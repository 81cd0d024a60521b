"""A caller's own subscription: what is paid until when, and ending it."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.http.callers import Callers
from relay.services.core import Core


class OwnSubscription:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._renewals = core.till.renewals
        self._callers = callers

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        account = self._callers.identify(req).account
        answer(resp, {"ok": True, "subscription": self._renewals.of(account)})

    def on_post_cancel(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The tier stays to its end; it is not renewed."""
        account = self._callers.identify(req).account
        answer(resp, {"ok": True, "subscription": self._renewals.cancel(account)})

    def on_delete_card(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The next period is paid with a link."""
        account = self._callers.identify(req).account
        answer(resp, {"ok": True, "subscription": self._renewals.forget_card(account)})
