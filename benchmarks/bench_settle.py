"""Settlement: how many payments a second become credit, durably, on the JSON files."""

import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from relay import logs
from relay.books import orders
from relay.config import load_config
from relay.domain.money import money
from relay.domain.orders import Order
from relay.loader import load_plugins
from relay.ports.rails import Snapshot
from relay.services.core import Core
from tests.flows.fake_rail import FakeRail

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAYMENTS, THREADS, ROUNDS = 2000, 16, 3


def main() -> None:
    logs.configure("warning")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "plugins.toml"
        config.write_text("[plugins.jsonfile]")
        loaded = load_config(config)
        core, rail = Core(loaded, load_plugins(loaded), Path(folder) / "data"), FakeRail()
        rates = [payments(core, rail, n) for n in range(ROUNDS)]
        rates.sort()
        print(f"settlements: {rates[len(rates) // 2]:.0f}/s, {THREADS} at once ({rates[0]:.0f}-{rates[-1]:.0f})")
        core.close()


def payments(core, rail, round_) -> float:
    """Settlements a second."""

    def put(tx):
        for n in range(PAYMENTS):
            made = Order(f"user:{n}", "package", "small", "20 credits", 500, "USD", rail.name, NOW, f"user:{n} 2026")
            made.credits, made.next_check_at = 20, NOW + timedelta(seconds=n)
            made.invoice = f"{rail.name} inv{round_}-{n}"
            orders.put(tx, f"ord_{round_}_{n}", made)

    core.storage.transact(put)
    work = iter(range(PAYMENTS))
    lock = threading.Lock()

    def settle() -> None:
        while True:
            with lock:
                n = next(work, None)
            if n is None:
                return
            paid = Snapshot(
                f"inv{round_}-{n}", f"ord_{round_}_{n}", "settled", "Settled", money("5.00", "USD"), rail.store
            )
            assert core.till.settlement.apply(f"ord_{round_}_{n}", rail, paid).granted

    threads = [threading.Thread(target=settle) for _ in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return PAYMENTS / (time.perf_counter() - start)
