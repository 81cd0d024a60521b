"""Messages to other servers that must arrive: stored with the change they tell of, sent until they are taken.

At least once: a crash between the receiver's answer and our note of it sends the message again, under the same
delivery id, by which the receiver drops doubles.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog

from relay import fetch
from relay.books import audit
from relay.books import outbox as book
from relay.crash import crash_point
from relay.domain.deliveries import Delivery, signature
from relay.domain.instants import iso, utcnow
from relay.errors import NotFound, RelayError
from relay.ports.storage import ReadTx, Storage, Tx

log = structlog.get_logger("relay.outbox")

SEND_SECONDS = 10.0
POLL_SECONDS = 15.0
PRUNE_ROUNDS = 240


class Send(Protocol):
    def __call__(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout: float) -> int: ...


class Outbox:
    """One worker finds what is due; each message is sent in a thread of its own, up to 8, and 2 to one host."""

    def __init__(
        self,
        storage: Storage,
        send: Send = fetch.post,
        clock: Callable[[], datetime] = utcnow,
        send_trusted: Send = fetch.post_trusted,
    ) -> None:
        self._storage = storage
        self._send = send
        self._send_trusted = send_trusted
        self._clock = clock
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._sending: dict[str, str] = {}  # delivery id to host
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def add(
        self,
        tx: Tx,
        *,
        url: str,
        body: bytes,
        secret: str,
        kind: str,
        reference: str,
        key: str | None = None,
        trusted: bool = False,
    ) -> str:
        """Store a message within `tx`; return its delivery id. `body` is JSON. Call `nudge` after the commit.

        `key`: the delivery id, for a body that names it. `trusted`: the operator named this URL in the settings, so
        it may lead into a private network; never for a URL that a caller sent.
        """
        key, now = key or f"dlv_{secrets.token_hex(12)}", self._clock()
        row = Delivery(url, body.decode(), secret, kind, reference, created_at=now, due_at=now, trusted=trusted)
        tx.insert(book.COLL, key, row)
        return key

    def waiting(self, tx: ReadTx) -> int:
        """How many messages are to be sent."""
        return book.counts(tx)[0]

    def nudge(self) -> None:
        """Something was added: look now instead of at the next round."""
        self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no more; wait for what is being sent, as long as a sending may take."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=SEND_SECONDS)
        with self._changed:
            self._changed.wait_for(lambda: not self._sending, timeout=SEND_SECONDS + 2)

    def pending(self, limit: int, offset: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """How many are to be sent, and some of them, the next due first. Neither body nor secret is told."""

        def page(tx: ReadTx) -> tuple[int, list[dict[str, Any]]]:
            return book.counts(tx)[0], [_view(*row) for row in book.waiting(tx, limit=limit, offset=offset)]

        return self._storage.read(page)

    def dead(self, limit: int, offset: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """How many were given up, and some of them, the newest first."""

        def page(tx: ReadTx) -> tuple[int, list[dict[str, Any]]]:
            return book.counts(tx)[1], [_view(*row) for row in book.dead(tx, limit=limit, offset=offset)]

        return self._storage.read(page)

    def retry(self, key: str, *, actor: str = "relay") -> None:
        """Send it now, with all its tries before it again. Raises NotFound."""

        def retry(tx: Tx) -> None:
            if not book.retry(tx, key, self._clock()):
                raise _unknown(key)
            audit.record(tx, actor, "callbacks.retry", key)

        self._storage.transact(retry)
        self.nudge()

    def drop(self, key: str, *, actor: str = "relay") -> None:
        """Forget it. Raises NotFound."""

        def drop(tx: Tx) -> None:
            if not book.drop(tx, key):
                raise _unknown(key)
            audit.record(tx, actor, "callbacks.drop", key)

        self._storage.transact(drop)

    def _run(self) -> None:
        rounds = 0
        while not self._stop.is_set():
            self._wake.clear()
            wait = POLL_SECONDS
            try:
                if rounds % PRUNE_ROUNDS == 0:
                    self._storage.transact(lambda tx: book.prune(tx, self._clock()))
                self._send_due()
                wait = self._seconds_to_next()
            except Exception:
                log.exception("outbox_failed", note="tried again in some seconds")
            rounds += 1
            self._wake.wait(wait)

    def _send_due(self) -> None:
        """Begin to send what is due, as far as senders are free."""
        now = self._clock()
        offset: int | None = 0
        while offset is not None and not self._stop.is_set():
            with self._changed:
                sending = self._sending.copy()
            taken, offset = self._storage.transact(partial(book.lease, sending=sending, now=now, offset=offset))
            for key, row in taken:
                with self._changed:
                    self._sending[key] = row.host
                threading.Thread(target=self._deliver, args=(key, row), name="outbox-send", daemon=True).start()

    def _deliver(self, key: str, row: Delivery) -> None:
        try:
            error = self._attempt(key, row)
            crash_point("outbox.sent")
            self._note(key, error)
        except Exception as exc:  # noqa: BLE001 - whatever it was, the lease runs out and the message is sent again
            log.warning("outbox_note_failed", delivery=key, error=type(exc).__name__, note="it is sent again")
        finally:
            with self._changed:
                del self._sending[key]
                self._changed.notify_all()
            self._wake.set()

    def _attempt(self, key: str, row: Delivery) -> str:
        """Send it once. "" when it was taken, else why not."""
        body = row.body.encode()
        headers = {
            "Content-Type": "application/json",
            "X-Relay-Delivery": key,
            "X-Relay-Signature": signature(row.secret, body, int(self._clock().timestamp())),
        }
        send = self._send_trusted if row.trusted else self._send
        try:
            status = send(row.url, body, headers, timeout=SEND_SECONDS)
        except RelayError as exc:
            return exc.message
        except Exception as exc:  # noqa: BLE001 - its text may hold the URL with whatever secrets are in it
            return f"the message could not be sent ({type(exc).__name__})"
        return "" if 200 <= status < 300 else f"the receiver answered {status}; a status from 200 to 299 takes it"

    def _note(self, key: str, error: str) -> None:
        if not error:
            self._storage.transact(lambda tx: book.sent(tx, key))
            return
        jitter, now = random.random(), self._clock()  # noqa: S311 - spreads load, guards nothing
        row = self._storage.transact(lambda tx: book.failed(tx, key, error, now, jitter))
        if row is not None and row.dead_at:
            log.warning("callback_given_up", delivery=key, host=row.host, reference=row.reference, error=row.error)

    def _seconds_to_next(self) -> float:
        rows = self._storage.read(lambda tx: book.waiting(tx, limit=1))
        if not rows or rows[0][1].due_at is None:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(1.0, (rows[0][1].due_at - self._clock()).total_seconds()))


def _unknown(key: str) -> NotFound:
    return NotFound(f"no callback {key} is waiting or dead; it was delivered or dropped")


def _view(key: str, row: Delivery) -> dict[str, Any]:
    return {
        "id": key,
        "kind": row.kind,
        "reference": row.reference,
        "url": row.address,
        "created_at": iso(row.created_at),
        "due_at": iso(row.due_at),
        "dead_at": iso(row.dead_at),
        "tries": row.tries,
        "error": row.error or None,
    }
