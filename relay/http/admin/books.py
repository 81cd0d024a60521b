"""Whether the books are balanced, as the check in the background found them."""

from __future__ import annotations

import falcon

from relay.http.answers import answer
from relay.services.core import Core


class Books:
    def __init__(self, core: Core) -> None:
        self._check = core.books_check

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, "books": self._check.view()})

    def on_post_verify(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Begins a pass at once; GET tells how far it is."""
        answer(resp, {"ok": True, "books": self._check.start_pass()})
