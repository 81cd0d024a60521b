"""What every storage must do, as tests. A storage plugin runs them against itself:

    from relay.testing.storage import COLLECTIONS, STREAMS, StorageConformance

    class TestAcme(StorageConformance):
        @pytest.fixture
        def reopen(self, tmp_path):
            opened = []

            def reopen(*, crash=False):
                if opened and not crash:
                    opened[-1].close()          # crash: leave it behind as a dead process would
                storage = AcmeStorage()
                storage.open(tmp_path, COLLECTIONS, STREAMS)
                opened.append(storage)
                return storage

            yield reopen
            for storage in opened:
                storage.close()

`reopen()` opens the storage the first time, and later closes the earlier one and opens the same place again.
With `crash=True` the earlier one is abandoned without a close; the closer this comes to a power cut (what was not
synced is gone), the more the suite proves. Two optional fixtures make the disk fail: `fail_writes` and
`fail_syncs` return a function that gives a context manager, inside which every write (sync) of a commit fails.
Without them those cases are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from relay.testing.storage_blobs import BlobCases
from relay.testing.storage_cases import COLLECTIONS, STREAMS, Faults, Reopen
from relay.testing.storage_faults import FaultCases
from relay.testing.storage_scans import ScanCases
from relay.testing.storage_streams import StreamCases
from relay.testing.storage_submit import SubmitCases
from relay.testing.storage_transactions import TransactionCases

__all__ = ["COLLECTIONS", "STREAMS", "Faults", "Reopen", "StorageConformance"]


class StorageConformance(TransactionCases, SubmitCases, ScanCases, StreamCases, BlobCases, FaultCases):
    @pytest.fixture
    def reopen(self) -> Reopen:
        raise NotImplementedError("define a `reopen` fixture; see the docstring of relay.testing.storage")

    @pytest.fixture
    def fail_writes(self) -> Callable[[], AbstractContextManager[None]]:
        pytest.skip("this storage offers no way to make a write fail")

    @pytest.fixture
    def fail_syncs(self) -> Callable[[], AbstractContextManager[None]]:
        pytest.skip("this storage offers no way to make a sync fail")
