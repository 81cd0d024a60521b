"""A relay that did some of everything, so that each of its metrics has a value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.errors import UpstreamFailed
from tests.flows.fake_rail import FakeRail
from tests.flows.live import FakeBackend, Live, eventually, running

PACKAGE = "[[packages]]\nid = 'small'\ncredits = 20\nprice = '5.00'\n"


@contextmanager
def busy_relay(folder: Path) -> Iterator[Live]:
    """Calls that end well and badly, a stream, a payment, a check of the books."""
    backend = FakeBackend()
    with running(folder, [backend], settings=PACKAGE, rails=[FakeRail()]) as live:
        live.analyze()
        live.transcribe()
        live.analyze(stream=True)
        backend.fail = UpstreamFailed("no")
        live.analyze()
        backend.fail = None
        live.get("/nothing")
        body = {"package": "small"}
        bought = live.call("POST", "/relay/credits/checkout", headers={"X-Recap-Install-Id": "inst-1"}, json=body)
        live.core.till.desk.credit(bought.json["invoice"]["id"], "it was paid", "test")
        live.core.books_check.start_pass()

        def checked() -> bool:
            live.core.books_check.round()
            return live.core.books_check.view()["balanced"] is not None

        eventually(checked)
        eventually(lambda: live.core.metrics.copy_of(live.core.metrics.streams) != {})
        yield live
