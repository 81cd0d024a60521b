"""The storage port: isolated, atomic, durable transactions over small JSON documents.

The core declares its collections and streams here; a storage knows nothing else about them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeVar, overload

from msgspec import Struct

T = TypeVar("T")
K = TypeVar("K", bound=Struct)
Doc = dict[str, Any]
Document = Doc | Struct
"""What may be stored: a dict, or a Struct, which is stored as the object it encodes to."""
IndexValue = str | int


class AlreadyExists(Exception):
    """`insert` found the key taken. Raised inside a transaction, so raising on discards it."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One set of documents by key.

    `indexes`: document fields (str or int) that can be scanned in order; a document without the field,
    or with null in it, is not in that index. `blobs`: fields that hold a blob's ref, indexed too.
    `layout` is a wish of a storage that keeps files people read: `rows` (`{key: document}`),
    `keys` (`{"keys": {key: value}}` for documents `{"value": value}`), `files` (a file per document),
    `log` (many documents, mostly old ones that nobody reads: they need not be kept in memory).
    """

    name: str
    indexes: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    layout: Literal["rows", "keys", "files", "log"] = "rows"


COLLECTIONS: tuple[Collection, ...] = (
    # One row per account. `due_at`: when a month rolls or a subscription ends (section "The books"). `paid_tier`: only
    # of rows in another tier than core; `blocked_at`: only of blocked ones.
    Collection(
        "credits",
        indexes=(
            "sort_total",
            "sort_remaining",
            "sort_used",
            "purchased_balance",
            "last_active_at",
            "due_at",
            "paid_tier",
            "blocked_at",
        ),
    ),
    Collection("holds"),
    # `account_at`: the account, a space, and when: one caller's jobs in the order of time.
    Collection("jobs", indexes=("created_at", "account_at"), layout="log"),
    # What jobs answered, under "<job>/<n>": small ones in the document, large ones as a blob.
    Collection("outputs", indexes=("at",), blobs=("blob",), layout="log"),
    # What a job in the background needs beside its record; its finished parts, under "<job>/<call>/<name>".
    # `open_at`: the order of the line, while the job has not ended.
    Collection("work", indexes=("created_at", "finished_at", "open_at"), blobs=("request", "upload", "result")),
    Collection("pieces"),
    # Requests with an Idempotency-Key and the answers they got.
    Collection("idempotency", indexes=("created_at", "running_since"), blobs=("reply",)),
    # What was bought. `invoice`: the rail, a space, and the rail's id; `pay`: hash of the return page's token.
    Collection("orders", indexes=("account_at", "created_at", "next_check_at", "invoice", "pay", "review_at")),
    # Tiers that are paid again before their end, one per account.
    Collection("subscriptions", indexes=("next_at",)),
    # Every delivery of a payment service, with what became of it.
    Collection("inbox", indexes=("at", "invoice")),
    # Discount codes by name; and which order uses which, by order. `due_at`: when a reservation is given back.
    Collection("codes", indexes=("created_at",)),
    Collection("redemptions", indexes=("due_at",)),
    # Messages to other servers that must arrive, and those that could not be delivered.
    Collection("outbox", indexes=("due_at", "dead_at")),
    Collection("plugin-data"),
    # What happened, in figures: "h 2026-01-31T05" per hour, "d 2026-01-31" per day, "t" in all; what is not added to
    # these yet, "o 2026-01-31T05 <process>".
    Collection("usage"),
    # Who changed what; keys begin with the time.
    Collection("audit", layout="log"),
    Collection("settings"),
    Collection("sessions", indexes=("expires_at",)),
    # Scoped keys of the admin API, under their public ids. `secret`: the hash of the key.
    Collection("admin-keys", indexes=("created_at", "secret")),
    Collection("processed-webhooks", indexes=("value",), layout="keys"),
    # The operator's own recordings: rows of the list, the texts people edit, what each run found, and its finished
    # pieces under "<meeting>/<run>/<name>"; and the voices that have a name.
    Collection("meetings", blobs=("audio", "listen")),
    Collection("internal-meetings", layout="files"),
    Collection("meeting-results", layout="log"),
    Collection("meeting-pieces", layout="log"),
    Collection("voices"),
)
STREAMS: tuple[str, ...] = ("ledger",)


class ReadTx(Protocol):
    """A consistent view. Documents handed out are the caller's own copies."""

    @overload
    def get(self, coll: str, key: str) -> Doc | None: ...

    @overload
    # As a Struct. Raises msgspec.ValidationError for a document that is not one.
    def get(self, coll: str, key: str, kind: type[K]) -> K | None: ...

    def scan(
        self,
        coll: str,
        index: str | None = None,
        from_: IndexValue | None = None,
        to: IndexValue | None = None,
        *,
        limit: int,
        offset: int = 0,
        reverse: bool = False,
        contains: str | None = None,
        prefix: str | None = None,
        where: Mapping[str, IndexValue] | None = None,
    ) -> list[tuple[str, Doc]]:
        """Rows in the order of (index value, key), or of the key when `index` is None.

        `from_` and `to` are inclusive bounds on the index value (on the key without an index).
        `contains`: only rows whose key holds this text, letter case ignored. `prefix`: only keys that begin with it.
        `where`: only rows with exactly these values in these indexed fields (KeyError for a field without an
        index; None is not a value to look for). `limit` >= 0 is required.
        """

    def count(
        self,
        coll: str,
        index: str | None = None,
        from_: IndexValue | None = None,
        to: IndexValue | None = None,
        *,
        contains: str | None = None,
        prefix: str | None = None,
        where: Mapping[str, IndexValue] | None = None,
        cap: int | None = None,
    ) -> int:
        """How many rows such a scan would find, but at most `cap`: a storage may stop counting there.

        Counts with `contains`, `prefix` or `where` may cost more the more rows match; `cap` bounds them.
        """

    def read(self, stream: str, partition: str, *, before: int | None = None, limit: int) -> list[tuple[int, Doc]]:
        """Entries of one partition, newest first, with their numbers (1, 2, 3 … in order of appending).

        `before`: only entries with a smaller number.
        """

    def partitions(self, stream: str) -> list[str]:
        """The names of all partitions that have an entry, in no order. For maintenance only."""


class Tx(ReadTx, Protocol):
    """An open transaction: sees its own writes; leaving with an exception discards them all."""

    def put(self, coll: str, key: str, doc: Document) -> None: ...

    def insert(self, coll: str, key: str, doc: Document) -> None:
        """Raises AlreadyExists when the key is taken."""

    def delete(self, coll: str, key: str) -> None:
        """Deleting what is not there does nothing."""

    def append(self, stream: str, partition: str, doc: Document) -> int:
        """Add an entry, return its number in the partition."""


class Storage(Protocol):
    name: str

    def open(self, data_dir: Path, collections: Sequence[Collection], streams: Sequence[str]) -> None:
        """Load and be ready. Raises ConfigError for a data dir in use or a damaged file, naming it.

        `data_dir`: the relay's data directory, made when it is missing. A storage that keeps its rows
        elsewhere may still keep its blobs there. Nothing is changed on disk when this raises.
        """

    def transact(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` isolated and atomic; durable when this returns. `fn` may be run again: tx calls only.

        Whatever `fn` saw is durable too before this returns or raises. Raises StorageFull (nothing of
        it happened) or StorageUnavailable (unknown until a restart).
        """

    def submit(self, fn: Callable[[Tx], T]) -> tuple[T, Callable[[], None]]:
        """Like `transact`, but returns as soon as everybody sees the change, before it is durable.

        The function that comes with the result waits for that, and raises what `transact` would have.
        """

    def read(self, fn: Callable[[ReadTx], T]) -> T:
        """Run `fn` on a consistent view; returns when all it saw is durable. `fn` may be run again here too."""

    def put_blob(self, file: BinaryIO) -> str:
        """Store the rest of `file` durably, return its ref. Call it before the transaction that refers to it."""

    def open_blob(self, ref: str) -> BinaryIO:
        """Raises KeyError for an unknown ref."""

    def delete_blob(self, ref: str) -> None:
        """Delete a blob at once, which no document refers to any more. An unknown ref does nothing."""

    def sweep_blobs(self, older_than_seconds: float) -> int:
        """Delete blobs of that age that no document refers to in a `blobs` field; return how many."""

    def outside_changes(self) -> Mapping[str, str]:
        """Collections that were changed by hand since the last clean close, with where they live."""

    def check(self) -> None:
        """Raises StorageUnavailable or StorageFull when a write cannot be expected to work."""

    def close(self) -> None:
        """Leave everything complete and at rest. Calling it twice is harmless."""
