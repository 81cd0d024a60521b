"""A claim of an Idempotency-Key that the storage could not make."""

import pytest

from relay.errors import StorageFull, StorageUnavailable
from relay.services.idempotency import Idempotency, Ticket
from tests.core.books import Books


@pytest.fixture
def storage():
    return Books().storage


def claim(keys):
    return keys.claim("user:u", "key-1", "what it means")


def test_a_claim_that_does_not_fit_on_the_disk_leaves_the_key_free(storage):
    keys = Idempotency(storage, 10**6)
    storage.disk.failure = StorageFull("the disk is full")
    with pytest.raises(StorageFull):
        claim(keys)
    storage.disk.failure = None
    assert keys._running == set()
    assert isinstance(claim(keys), Ticket)


def test_a_claim_that_was_written_too_late_leaves_the_key_free(storage, monkeypatch):
    """The transaction is told as failed, and its record is there all the same."""
    keys, submit = Idempotency(storage, 10**6), storage.submit

    def late(fn):
        submit(fn)
        raise StorageUnavailable("the disk did not answer in time")

    monkeypatch.setattr(storage, "submit", late)
    with pytest.raises(StorageUnavailable):
        claim(keys)
    monkeypatch.undo()
    assert isinstance(claim(keys), Ticket)
