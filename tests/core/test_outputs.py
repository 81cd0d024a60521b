"""Answers are kept for a while, within bounds, and never at the price of an answer."""

import pytest

from relay.books import outputs as book
from relay.books import usage
from relay.errors import NotFound, StorageFull
from relay.services.outputs import INLINE, Outputs
from relay.settings import OutputSettings, RetentionSettings, Settings, TierSettings
from tests.core.books import Books

SMALL = {"text": "what was said"}


class Kept(Books):
    def __init__(self, folder, **rules):
        settings = {"outputs": OutputSettings(**rules), "retention": RetentionSettings(outputs_days=7)}
        super().__init__({"core": TierSettings()}, folder=folder)
        self.outputs = Outputs(self.storage, Settings(**settings), lambda: self.now)

    def answered(self, result=SMALL, job=None):
        call = self.begin(job=job)
        keep = self.outputs.prepare(call, result)
        also = None if keep is None else lambda tx, _receipt: keep(tx)
        self.meter.settle(call, backend="test", model="m", cost_class="local", also=also)
        return call.job_id

    def add_up(self):
        """The running total is what is there."""
        kept = self.storage.read(lambda tx: tx.scan("outputs", limit=10_000))
        assert self.outputs.stats()["bytes"] == sum(doc["bytes"] for _, doc in kept)
        return len(kept)


@pytest.fixture
def books(tmp_path):
    return Kept(tmp_path)


def test_an_answer_is_there_as_it_was_given(books):
    job = books.answered()
    (only,) = books.outputs.of_job(job)
    assert (only["task"], only["bytes"]) == ("analyze", 24)
    assert bytes(only["output"]) == b'{"text":"what was said"}'
    assert books.add_up() == 1


def test_a_long_answer_goes_into_a_blob(books):
    long = {"text": "word " * INLINE}
    job = books.answered(long)
    doc = books.storage.read(lambda tx: tx.scan("outputs", limit=1))[0][1]
    assert "body" not in doc
    assert len(books.storage.open_blob(doc["blob"]).read()) == doc["bytes"] > INLINE
    assert len(books.outputs.of_job(job)[0]["output"]) == doc["bytes"]


def test_answers_of_one_job_come_newest_first(books):
    for n in range(3):
        job = books.answered({"n": n}, job="j")
        books.later(seconds=1)
    assert [bytes(each["output"]) for each in books.outputs.of_job(job)] == [b'{"n":2}', b'{"n":1}', b'{"n":0}']


def test_nothing_is_kept_when_it_is_switched_off(tmp_path):
    books = Kept(tmp_path, keep=False)
    job = books.answered()
    assert books.add_up() == 0
    assert books.outputs.stats()["enabled"] is False
    with pytest.raises(NotFound):
        books.outputs.of_job(job)


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(books, monkeypatch):
    def full(_file):
        raise StorageFull("the disk is full")

    monkeypatch.setattr(books.storage, "put_blob", full)
    books.answered({"text": "word " * INLINE})
    assert books.kinds() == ["charge"]
    assert books.add_up() == 0


def test_a_stream_whose_answer_cannot_be_kept_ends_well(books, monkeypatch):
    call = books.begin()
    books.settle(call)

    def full(_fn):
        raise StorageFull("the disk is full")

    monkeypatch.setattr(books.storage, "submit", full)
    books.outputs.keep(call, SMALL)
    assert books.add_up() == 0


def test_the_end_of_a_stream_is_kept_after_its_charge(books):
    call = books.begin()
    books.settle(call)
    books.outputs.keep(call, SMALL)
    assert books.add_up() == 1


def test_answers_go_after_their_days(books):
    old = books.answered()
    books.later(days=4)
    new = books.answered()
    books.later(days=4)
    assert books.outputs.prune() == 1
    assert books.add_up() == 1
    assert books.outputs.of_job(new)
    with pytest.raises(NotFound):
        books.outputs.of_job(old)


def test_beyond_the_limit_the_oldest_go_first(tmp_path):
    books = Kept(tmp_path, max_mb=1)
    jobs = []
    for _ in range(300):
        jobs.append(books.answered({"text": "x" * 10_000}))
        books.later(seconds=1)
    books.outputs.prune()
    assert books.outputs.stats()["bytes"] <= 2**20
    assert books.add_up() == 100
    assert books.outputs.of_job(jobs[-1])
    with pytest.raises(NotFound):
        books.outputs.of_job(jobs[0])


def test_the_total_heals_when_the_store_was_emptied_by_another_hand(books):
    books.answered()
    books.storage.transact(lambda tx: [tx.delete("outputs", key) for key, _ in tx.scan("outputs", limit=10)])
    assert books.outputs.stats()["bytes"] > 0
    books.outputs.prune()
    assert books.outputs.stats()["bytes"] == 0


def test_the_total_survives_the_end_of_the_hour(books):
    books.answered()
    books.later(hours=3)
    books.storage.transact(lambda tx: usage.close_hours(tx, books.now))
    books.answered()
    assert books.add_up() == 2


def test_deleting_by_job_by_age_and_all_is_written_down(books):
    first = books.answered()
    books.later(days=2)
    second = books.answered(job="j")
    books.answered(job="j")
    third = books.answered()
    assert books.outputs.delete("admin", jobs=[first, "job_" + "0" * 24]) == (1, False)
    assert books.outputs.delete("key:k", older_than_days=1) == (0, False)
    assert books.outputs.delete("admin", jobs=[second]) == (2, False)
    assert books.outputs.delete("admin") == (1, False)
    assert books.add_up() == 0
    with pytest.raises(NotFound):
        books.outputs.of_job(third)
    lines = [doc for _, doc in books.storage.read(lambda tx: tx.scan("audit", limit=10))]
    assert {line["action"] for line in lines} == {"outputs.delete"}
    assert {"older_than_days": 1} in [line["after"] for line in lines]


def test_the_ids_of_jobs_come_in_pages(books):
    jobs = []
    for n in range(7):
        jobs.append(books.answered({"n": n}))
        books.answered({"n": n}, job=f"many-{n // 3}")
        books.later(seconds=n % 2)
    seen, before = [], None
    while True:
        ids, count, before = books.outputs.ids(limit=2, before=before)
        seen += ids
        if before is None:
            break
    assert count == 14
    assert set(seen) >= set(jobs)
    assert len(set(seen)) == 10


def test_a_key_holds_no_path_and_other_jobs_are_not_reached(books):
    job = books.answered()
    for wrong in ("../" + job, job + "/..", job[:-1], "job_", "", "*", job.upper()):
        with pytest.raises(NotFound):
            books.outputs.of_job(wrong)
    assert books.storage.read(lambda tx: book.keys_of(tx, job[:-1])) == []


def test_blobs_of_deleted_answers_are_swept(books):
    books.answered({"text": "word " * INLINE})
    ref = books.storage.read(lambda tx: tx.scan("outputs", limit=1))[0][1]["blob"]
    books.outputs.delete("admin")
    assert books.storage.sweep_blobs(0) == 1
    with pytest.raises(KeyError):
        books.storage.open_blob(ref)
