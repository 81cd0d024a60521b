"""`POST /relay/<rail>/webhook`: what payment services tell us."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.http.callers import lower_headers
from relay.ports.rails import Delivery
from relay.services.core import Core


class Webhooks:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_post(self, req: falcon.Request, resp: falcon.Response, rail: str, token: str = "") -> None:
        """The size was limited before the body was read."""
        delivery = Delivery(req.bounded_stream.read(), lower_headers(req), token)
        answer(resp, self._core.till.deliveries.receive(rail, delivery))
