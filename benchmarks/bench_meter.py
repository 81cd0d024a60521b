"""A metered call with few and with many accounts: hold, settle, durable, straight on the meter."""

import statistics
import tempfile
import time
from pathlib import Path

from relay.config import load_config
from relay.loader import load_plugins
from relay.ports.auth import Identity
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.meter import Meter
from relay.services.policy import Policy
from relay.settings import Settings, TierSettings

FEW, MANY, ROUNDS, CALLS = 500, 200_000, 5, 1500
POLICY = Policy.of(Settings(tiers={"core": TierSettings(lifetime_credits=10**9)}))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        few, many = (books(Path(folder) / str(n), n) for n in (FEW, MANY))
        ratios = []
        for _ in range(ROUNDS):
            small, large = cost(few, FEW), cost(many, MANY)
            ratios.append(large / small)
        print(
            f"a metered call with {MANY} accounts costs {statistics.median(ratios):.2f} x one with {FEW}"
            f" (rounds {min(ratios):.2f}-{max(ratios):.2f}); last {large * 1e6:.0f} us against {small * 1e6:.0f} us"
        )
        for storage, _ in (few, many):
            storage.close()


def books(folder: Path, accounts: int):
    folder.mkdir()
    config = folder / "plugins.toml"
    config.write_text("[plugins.jsonfile]")
    storage = load_plugins(load_config(config)).storage
    storage.open(folder / "data", COLLECTIONS, STREAMS)
    fill(storage, accounts)
    return storage, Meter(storage, POLICY)


def fill(storage, accounts: int) -> None:
    """Rows as the meter writes them."""
    meter = Meter(storage, POLICY)
    meter.settle(meter.begin(Identity("user:0", "b"), None, "analyze"), backend="b", model="m", cost_class="b")
    row = storage.read(lambda tx: tx.get("credits", "user:0"))

    def write(tx, start):
        for n in range(start, min(start + 5000, accounts)):
            tx.put("credits", f"user:{n}", row | {"entries": 0, "head": "", "lifetime_consumed": 0})

    for start in range(1, accounts, 5000):
        storage.transact(lambda tx, start=start: write(tx, start))


def cost(books, accounts: int) -> float:
    """Seconds a call, one caller, over accounts spread evenly."""
    _, meter = books
    start = time.perf_counter()
    for n in range(CALLS):
        identity = Identity(f"user:{1 + n * 97 % (accounts - 1)}", "b")
        meter.settle(meter.begin(identity, None, "analyze"), backend="b", model="m", cost_class="b")
    return (time.perf_counter() - start) / CALLS
