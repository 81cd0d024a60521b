"""The licences this relay has seen: verified once, judged at each call, asked about online beside the calls."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from relay.api import Identity, Space, StorageFull, StorageUnavailable
from relay_keysat import records
from relay_keysat.checks import Checks
from relay_keysat.licence import PREFIX, BadFormat, Licence, parse
from relay_keysat.pinned import PinnedKeys
from relay_keysat.recent import Known, Recent
from relay_keysat.records import Record
from relay_keysat.rules import RETRY_SECONDS, Rules, refused
from relay_keysat.server import LicenceServer
from relay_keysat.verdict import NoVerdict

log = structlog.get_logger("relay.keysat")

FIRST_WAIT_SECONDS = 1.5
BEST_FOR = timedelta(seconds=60)
"""How long another process sharing the storage may go on with the key that a renewed licence had before."""
JITTER = 0.1


class Licences:
    """`fingerprint`: "" for one that is made once and kept. `send_fingerprint`: whether the server learns it."""

    def __init__(
        self,
        rules: Rules,
        pinned: PinnedKeys,
        server: LicenceServer | None,
        fingerprint: str,
        clock: Callable[[], datetime],
        *,
        send_fingerprint: bool,
    ) -> None:
        self.rules = rules
        self._pinned = pinned
        self._server = server
        self._fingerprint = fingerprint
        self._send_fingerprint = send_fingerprint
        self._clock = clock
        self._known: Recent[Known] = Recent()
        self._best: Recent[tuple[str, datetime]] = Recent()
        self._checks = Checks()
        self._space: Space | None = None

    def attach(self, space: Space) -> None:
        self._space = space

    @property
    def space(self) -> Space:
        if self._space is None:
            raise StorageUnavailable("the storage of the licences is not open yet; try again")
        return self._space

    @property
    def fingerprint(self) -> str:
        """Asked for when it is needed, as a relay without bound licences and without a server needs none."""
        if not self._fingerprint:
            self._fingerprint = records.own_fingerprint(self.space)
        return self._fingerprint

    def presented(self, text: str) -> Known:
        """The key that a caller sent. Raises AuthRejected for what is no genuine one."""
        if not text.isascii() or not text.startswith(PREFIX):
            raise refused("bad_format")
        digest = records.hash_of(text.upper())
        known = self._known.get(digest)
        if known is not None and known.licence is not None:
            return known
        try:
            licence = parse(text)
        except BadFormat:
            raise refused("bad_format") from None
        signer = self._pinned.signer(licence)
        if signer is None:
            raise refused("bad_signature")
        return self._met(digest, licence, signer)

    def of_account(self, account: str) -> Known | None:
        """The key that stands for a licence, as far as this relay has seen one."""
        now = self._clock()
        best = self._best.get(account)
        if best is None or now >= best[1]:
            digest = self.space.read(lambda tx: records.best(tx, account))
            if digest is None:
                return None
            best = self._best.put(account, (digest, now + BEST_FOR))
        digest = best[0]
        known = self._known.get(digest)
        if known is None:
            record = self.space.read(lambda tx: records.load(tx, digest))
            if record is None:
                return None
            known = self._known.keep(digest, self._row(digest, record, None))
        return known

    def identity(self, known: Known) -> Identity:
        """Who its bearer is now. Raises as `Rules.check` and `Rules.judge` do."""
        self._check_offline(known.record)
        now = self._clock()
        if self._server is not None and known.licence is not None:
            self._refresh(known, self._server, now)
        return self.rules.judge(known.record, now, askable=known.licence is not None)

    def ask_again(self, account: str) -> bool:
        """Have the server asked at the licence's next call; False for one never seen here."""
        known = self.of_account(account)
        if known is not None:
            known.due = known.retry_at = None
        return known is not None

    def _check_offline(self, record: Record) -> None:
        self.rules.check(record, self.fingerprint if record.bound_to else "")

    def _met(self, digest: str, licence: Licence, signer: str) -> Known:
        """A genuine key, which this process has not verified before."""
        stored = self.space.read(lambda tx: records.load(tx, digest))
        record = records.record_of(licence, signer, None if stored is None else stored.verdict)
        self._check_offline(record)
        known = self._known.keep(digest, self._row(digest, record, licence))
        known.licence = licence
        if stored is None:
            self._save(known)
        return known

    def _row(self, digest: str, record: Record, licence: Licence | None) -> Known:
        return Known(digest, record, licence, self.rules.due(record, _jitter()))

    def _refresh(self, known: Known, server: LicenceServer, now: datetime) -> None:
        """Have the server asked when it is time. The call waits for it when there is nothing to go by."""
        seen, failed = known.record.verdict, known.retry_at
        if failed is not None and now < failed:
            return
        verdict = self.rules.standing(seen, now, askable=True)
        wanting = verdict is None or self.rules.ended_since(known.record, now)
        # A clock that was set back must not make a verdict last.
        kept = verdict is not None and verdict.checked_at <= now and known.due is not None and now < known.due
        if kept and not wanting:
            return

        def work() -> None:
            # A check that ended since the look above has done this one's work.
            if (known.record.verdict, known.retry_at) == (seen, failed):
                self._check(known, server)

        check = self._checks.start(known.digest, work)
        if check is not None and wanting and failed is None:
            check.wait(FIRST_WAIT_SECONDS)

    def _check(self, known: Known, server: LicenceServer) -> None:
        """In a thread of its own."""
        licence = known.licence
        if licence is None:
            return
        before, verdict = known.record.verdict, None
        try:
            fingerprint = self.fingerprint if self._send_fingerprint else None
            verdict = server.validate(licence, fingerprint, self._clock())
        except (NoVerdict, StorageFull, StorageUnavailable) as exc:
            log.warning("licence_not_checked", licence=known.record.account, reason=str(exc))
            return
        finally:
            known.retry_at = None if verdict else self._clock() + timedelta(seconds=RETRY_SECONDS) * _jitter()
        known.record = msgspec.structs.replace(known.record, verdict=verdict)
        known.due = self.rules.due(known.record, _jitter())
        if before is None or before.reason != verdict.reason:
            log.info("licence_checked", licence=known.record.account, verdict=verdict.reason or "active")
        self._save(known)

    def _save(self, known: Known) -> None:
        """A licence counts also while it cannot be written down; it is tried again with the next verdict."""
        digest, record = known.digest, known.record
        try:
            best = self.space.transact(lambda tx: records.save(tx, digest, record))
        except (StorageFull, StorageUnavailable) as exc:
            log.warning("licence_not_saved", licence=record.account, reason=exc.code)
        else:
            self._best.put(record.account, (best, self._clock() + BEST_FOR))


def _jitter() -> float:
    """Many licences seen at one moment are not to be checked at one moment for ever."""
    return random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
