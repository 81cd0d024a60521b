"""Books on the in-memory storage with a clock that tests turn."""

from datetime import UTC, datetime, timedelta

from relay.ports.auth import Identity
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.credits import Credits
from relay.services.meter import Call, Meter, Receipt
from relay.services.policy import Policy
from relay.services.verify import verify
from relay.settings import Settings, TierSettings
from relay.testing.memory import MemoryStorage

START = datetime(2026, 1, 1, tzinfo=UTC)


class Books:
    def __init__(self, tiers: dict[str, TierSettings] | None = None, folder=None, **settings) -> None:
        self.now = START
        self.storage = MemoryStorage()
        self.storage.open(folder, COLLECTIONS, STREAMS)
        if tiers is not None:
            settings["tiers"] = tiers
        self.policy = Policy.of(Settings(**settings))
        self.credits = Credits(self.storage, self.policy, lambda: self.now)
        self.meter = self.new_process()

    def new_process(self) -> Meter:
        return Meter(self.storage, self.policy, lambda: self.now)

    def restart(self) -> None:
        """The process died; a new one gives back what it held."""
        self.meter = self.new_process()
        self.meter.sweep(lambda owner: owner != self.meter.owner)

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def verified(self) -> None:
        assert verify(self.storage)["different"] == []

    def begin(self, account: str = "user:u", job: str | None = None, task: str = "analyze", **identity) -> Call:
        return self.meter.begin(Identity(account, "test", **identity), job, task)

    def settle(self, call: Call, cost_class: str = "local") -> Receipt:
        return self.meter.settle(call, backend="test", model="m", cost_class=cost_class)

    def answer(self, account: str = "user:u", job: str | None = None, cost_class: str = "local", **identity) -> Receipt:
        return self.settle(self.begin(account, job, **identity), cost_class)

    def read(self, account: str = "user:u", **identity) -> dict:
        return self.meter.read(Identity(account, "test", **identity))

    def kinds(self, account: str = "user:u") -> list[str]:
        """The kinds of the account's ledger entries, oldest first."""
        return [entry.kind for entry in reversed(self.credits.history(account, limit=500, before=None))]
