"""The storage suite: large bodies, and the sweep of those nobody refers to."""

from __future__ import annotations

from io import BytesIO

import pytest

from relay.api import Storage
from relay.testing.storage_cases import Reopen, put


def body(storage: Storage, ref: str) -> bytes:
    with storage.open_blob(ref) as file:
        return file.read()


class BlobCases:
    def test_a_blob_survives_a_crash(self, reopen: Reopen) -> None:
        storage = reopen()
        file = BytesIO(b"skipped" + b"x" * 3_000_000)
        file.read(7)
        ref = storage.put_blob(file)
        put(storage, "a", body=ref)
        assert body(storage, ref) == b"x" * 3_000_000
        assert body(reopen(crash=True), ref) == b"x" * 3_000_000

    def test_an_unknown_ref_is_a_key_error(self, reopen: Reopen) -> None:
        storage = reopen()
        for ref in ("nothing", "../checkpoint.json", "", "0" * 32):
            with pytest.raises(KeyError):
                storage.open_blob(ref)

    def test_a_blob_can_be_deleted_at_once(self, reopen: Reopen) -> None:
        storage = reopen()
        kept, dropped = (storage.put_blob(BytesIO(text)) for text in (b"kept", b"dropped"))
        for ref in (dropped, dropped, "nothing", "../checkpoint.json", ""):
            storage.delete_blob(ref)
        assert body(storage, kept) == b"kept"
        with pytest.raises(KeyError):
            storage.open_blob(dropped)

    def test_the_sweep_deletes_what_no_document_refers_to(self, reopen: Reopen) -> None:
        storage = reopen()
        kept, dropped, orphan = (storage.put_blob(BytesIO(text)) for text in (b"kept", b"dropped", b"orphan"))
        put(storage, "a", body=kept)
        put(storage, "b", body=dropped)
        storage.transact(lambda tx: tx.delete("things", "b"))
        assert storage.sweep_blobs(3600) == 0
        assert storage.sweep_blobs(0) == len([dropped, orphan])
        assert body(storage, kept) == b"kept"
        for ref in (dropped, orphan):
            with pytest.raises(KeyError):
                storage.open_blob(ref)
