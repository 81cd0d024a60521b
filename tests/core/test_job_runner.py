"""The workers on the in-memory storage: what they do when the storage, or they themselves, are in trouble."""

import threading

import pytest

from relay.errors import Conflict, StorageFull, StorageUnavailable
from relay.ports.auth import Identity
from relay.ports.inference import TASKS
from relay.services.infer import Infer
from relay.services.jobs import AnalyzeJob, Jobs, runner
from relay.services.metrics import Metrics
from relay.services.outbox import Outbox
from relay.services.outputs import Outputs
from relay.services.receipts import Receipts
from relay.settings import JobSettings, Settings
from tests.core.books import Books
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import eventually

WHO = Identity("user:u", "test")


class Works(Books):
    """Books with jobs in the background. `reopen` is a restart of the relay."""

    def __init__(self, folder, backend):
        super().__init__(folder=folder)
        self.folder, self.backend = folder, backend
        self.open()

    def open(self):
        routes = {task: (self.backend,) if task in self.backend.tasks else () for task in TASKS}
        settings = Settings(jobs=JobSettings(workers=2))
        outputs = Outputs(self.storage, settings)
        infer = Infer(self.meter, {self.backend.name: self.backend}, routes, 10, Metrics(), outputs)
        outbox = Outbox(self.storage, clock=lambda: self.now)
        self.jobs = Jobs(
            self.storage, self.meter, infer, outbox, Receipts(self.storage), settings, self.folder, lambda: self.now
        )
        self.jobs.start()

    def reopen(self):
        self.jobs.stop()
        self.meter = self.new_process()
        self.open()

    def submit(self, name=None):
        order = AnalyzeJob(prompt="Say it.")
        return self.jobs.submit(WHO, name, order, None, lambda _accepted: None).job["id"]

    def view(self, name):
        return self.jobs.view(WHO, name)

    def ended(self, name):
        eventually(lambda: self.view(name)["state"] not in {"queued", "processing"})
        return self.view(name)


@pytest.fixture
def backend():
    return FakeBackend()


@pytest.fixture
def works(tmp_path, backend):
    works = Works(tmp_path, backend)
    yield works
    works.storage.disk.failure = None
    works.jobs.stop()


def test_an_answer_waits_for_room_on_a_full_disk(works, backend, monkeypatch):
    monkeypatch.setattr(runner, "FULL_SECONDS", 0.01)
    answered, go = threading.Event(), threading.Event()

    def act(_ctx):
        answered.set()
        go.wait(10)

    backend.act = act
    name = works.submit()
    assert answered.wait(10)
    works.storage.disk.failure = StorageFull("the disk is full")
    go.set()
    eventually(lambda: backend.running == 0)
    assert works.view(name)["state"] == "processing"
    works.storage.disk.failure = None
    assert works.ended(name)["state"] == "completed"
    assert backend.calls == 1
    works.verified()


def test_a_storage_that_cannot_be_written_leaves_the_job_to_the_next_start(works, backend):
    go = threading.Event()
    backend.act = lambda _ctx: go.wait(10) and None
    name = works.submit()
    eventually(lambda: backend.running == 1)
    works.storage.disk.failure = StorageUnavailable("read-only")
    go.set()
    eventually(lambda: backend.running == 0)
    works.jobs.stop()
    assert works.read()["held"] == 1
    works.storage.disk.failure = None
    works.reopen()
    assert works.ended(name)["state"] == "completed"
    assert (works.read()["held"], works.read()["total"]) == (0, 9)
    works.verified()


def test_a_submit_that_cannot_be_written_leaves_neither_a_job_nor_a_place(works):
    works.storage.disk.failure = StorageFull("the disk is full")
    for _ in range(3):
        with pytest.raises(StorageFull):
            works.submit("mine")
    works.storage.disk.failure = None
    assert works.jobs.page(WHO, limit=10, before=None, state=None) == ([], None)
    assert works.ended(works.submit("mine"))["state"] == "completed"
    works.verified()


def test_what_accepting_raises_gives_the_credit_and_the_place_back(works):
    def refuse(_accepted):
        raise Conflict("no")

    for _ in range(101):
        with pytest.raises(Conflict):
            works.jobs.submit(WHO, None, AnalyzeJob(prompt="x"), None, refuse)
    assert works.read()["total"] == 10
    assert works.ended(works.submit())["state"] == "completed"
    works.verified()


def test_results_go_first_and_rows_later(works):
    name = works.submit()
    assert works.ended(name)["result"] is not None
    works.later(days=8)
    works.jobs.prune()
    assert works.view(name)["result_expired"] is True
    row = works.storage.read(lambda tx: tx.get("work", name))
    assert row is not None
    assert row["result"] is None
    works.later(days=30)
    works.jobs.prune()
    assert works.storage.read(lambda tx: tx.get("work", name)) is None


def test_pieces_that_a_crash_left_behind_go(works):
    name = works.submit()
    works.ended(name)
    orphans = [f"{name}/0123/part-{n}" for n in range(450)]
    for key in [*orphans, "job_000000000000000000000000/0/x"]:
        works.storage.transact(lambda tx, key=key: tx.put("pieces", key, {"data": ""}))
    works.jobs.prune()
    assert works.storage.read(lambda tx: tx.count("pieces")) == 0


def test_the_pieces_of_an_open_job_stay(works, backend):
    go = threading.Event()

    def act(ctx):
        ctx.pieces["part"] = b"done"
        go.wait(10)

    backend.act = act
    name = works.submit()
    eventually(lambda: works.storage.read(lambda tx: tx.count("pieces")) == 1)
    works.jobs.prune()
    assert works.jobs.sweep() == 0
    assert works.storage.read(lambda tx: tx.count("pieces")) == 1
    go.set()
    assert works.ended(name)["state"] == "completed"
    eventually(lambda: works.storage.read(lambda tx: tx.count("pieces")) == 0)


def test_a_call_that_has_nothing_to_do_with_a_job_is_not_swept_by_it(works):
    call = works.begin()
    assert works.jobs.sweep() == 0
    works.settle(call)
    works.verified()
