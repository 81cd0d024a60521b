"""Who calls `/relay/*`, and how often they may."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import falcon
import structlog
from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from relay.books import accounts
from relay.errors import AuthRejected, BadIdentity, RelayError, TooMany, Unauthenticated, Unavailable
from relay.http.rate import PerMinute
from relay.identity import check_job_id
from relay.ports.auth import AuthStrategy, Identity, LicenceKeeper
from relay.services.core import Core

log = structlog.get_logger("relay.http")

KNOWN_INSTALLS = 10_000
"""How many recent accounts are remembered as known, so that their row is not looked up again."""


class Callers:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._strategies = core.registry.auth
        for strategy in self._strategies:
            if isinstance(strategy, LicenceKeeper) and (unknown := strategy.tiers - core.settings.tiers.keys()):
                note = "there is no such tier; these licences get what the account's own row says"
                log.warning("licence_tiers_unknown", strategy=strategy.name, tiers=sorted(unknown), note=note)
        self._settings = core.settings
        self._requests = PerMinute(1)
        self._running: Counter[str] = Counter()
        self._installs = FixedWindowRateLimiter(MemoryStorage())
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def identify(self, req: falcon.Request) -> Identity:
        """Ask the strategies in the order of their rank, then the rate limit. Raises Unauthenticated or TooMany."""
        identity = req.env.get("relay.identity") or self._ask(req)
        self._count(identity.account)
        return identity

    def _count(self, account: str) -> None:
        amount = self._settings.limits.requests_per_minute
        if not amount:
            return
        self._requests.limit = amount
        if wait := self._requests.hit(account):
            raise TooMany(f"more than {amount} requests in a minute; slow down", retry_after=wait)

    def _ask(self, req: falcon.Request) -> Identity:
        headers = lower_headers(req)
        for strategy in self._strategies:
            with _asking(strategy):
                identity = strategy.identify(headers)
            if identity is not None:
                return self._as_the_licence(identity) if identity.credential else identity
        raise Unauthenticated("no credentials: send X-Recap-Install-Id, or the headers your operator gave you")

    def _as_the_licence(self, identity: Identity) -> Identity:
        """A caller key of a licence has the licence's tier and end, whatever they were when it was made."""
        if not identity.account.startswith("lic:"):
            return identity
        for strategy in self._strategies:
            if isinstance(strategy, LicenceKeeper):
                with _asking(strategy):
                    licence = strategy.verdict_for(identity.account)
                if licence is not None:
                    return replace(
                        licence,
                        strategy=identity.strategy,
                        credential=identity.credential,
                        outdated=identity.outdated,
                    )
        raise AuthRejected(
            "the licence this key was made with is not known here; call once with the licence itself",
            code="bad_license",
            details={"reason": "not_found"},
        )

    def require_operator(self, req: falcon.Request) -> None:
        """The operator's own key, whatever else is sent."""
        headers = lower_headers(req)
        for strategy in self._strategies:
            with _asking(strategy):
                if strategy.is_operator(headers):
                    return
        raise Unauthenticated("this needs the operator key in X-Recap-Operator-Key")

    @contextmanager
    def one_call(self, req: falcon.Request, identity: Identity) -> Iterator[None]:
        """A place among the caller's concurrent calls; TooMany when they are taken, or for a flood of new installs."""
        self._check_new(req, identity)
        account, most = identity.account, self._settings.limits.concurrent_calls
        with self._lock:
            if most and self._running[account] >= most:
                raise TooMany(
                    f"{most} calls of yours are running; wait for one to end",
                    code="too_many_calls",
                    retry_after=2,
                )
            self._running[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[account] -= 1
                if not self._running[account]:
                    del self._running[account]

    def _check_new(self, req: falcon.Request, identity: Identity) -> None:
        """An install that has no row yet counts against its address: free credits are per install."""
        account, most = identity.account, self._settings.limits.new_installs_per_address_per_hour
        if not most or not account.startswith("inst:") or req.env.get("relay.identity"):
            return
        digest = hashlib.sha256(account.encode()).hexdigest()
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
                return
        known = self._core.storage.read(lambda tx: accounts.get(tx, account)) is not None
        if not known and not self._installs.hit(RateLimitItemPerHour(most), req.context.address):
            raise TooMany("too many new installs from this address; try again in an hour", retry_after=3600)
        with self._lock:
            self._known[digest] = None
            while len(self._known) > KNOWN_INSTALLS:
                self._known.popitem(last=False)


@contextmanager
def _asking(strategy: AuthStrategy) -> Iterator[None]:
    """A strategy that breaks ends the search with 503: the next one might take the caller for somebody else."""
    try:
        yield
    except RelayError:
        raise
    except Exception as exc:  # noqa: BLE001
        # Neither the message nor the traceback is written down: they may hold the credential.
        log.error("auth_failed", strategy=strategy.name, error=type(exc).__name__)  # noqa: TRY400
        raise Unavailable(f"your credentials could not be checked ({strategy.name}); try again later") from None


def lower_headers(req: falcon.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in req.headers.items()}


def job_name(req: falcon.Request) -> str | None:
    """The caller's X-Recap-Job-Id."""
    name = req.get_header("X-Recap-Job-Id")
    if name is None:
        return None
    if not check_job_id(name):
        raise BadIdentity("X-Recap-Job-Id must be 1 to 128 characters of A-Z a-z 0-9 . _ : -")
    return name
