"""What anybody may ask: health, ready, policy, capabilities."""

from __future__ import annotations

import time
from typing import Any

import falcon
import msgspec

from relay import __version__
from relay.errors import Draining, StorageFull, StorageUnavailable
from relay.http.answers import answer
from relay.ports.inference import TASKS, InferenceBackend
from relay.services.core import Core
from relay.services.policy import tier_of
from relay.settings import Settings

FORMATS = ["wav", "mp3", "m4a", "mp4", "ogg", "opus", "webm", "flac"]


class Health:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        uptime = round(time.monotonic() - self._core.started, 3)
        answer(resp, {"ok": True, "version": __version__, "uptime_seconds": uptime})

    on_head = on_get


class Ready:
    """503 until the storage can be written and the self-test has passed."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        if self._core.draining.is_set():
            raise Draining("this relay is shutting down", retry_after=30)
        if not self._core.tested.is_set():
            raise StorageUnavailable("the self-test has not passed; the log says why", retry_after=1)
        try:
            self._core.storage.check()
        except StorageFull as exc:
            raise StorageUnavailable(exc.message, retry_after=60) from exc
        answer(resp, {"ok": True, "ready": True})

    on_head = on_get


class Policy:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, policy_view(self._core.settings.now))


def policy_view(settings: Settings) -> dict[str, Any]:
    """The prices and rules of this moment."""
    tiers = {
        tier.name: {
            "counts": tier.counts,
            f"{tier.counts}_credits": tier.credits,
            f"{tier.counts}_gemini": tier.gemini,
            "price": given.price,
            "currency": given.currency,
            "period_days": tier.period_days if tier.counts == "monthly" else None,
        }
        for tier, given in ((tier_of(name, given), given) for name, given in settings.tiers.items())
    }
    return {
        "ok": True,
        "tiers": tiers,
        "packages": msgspec.to_builtins(settings.packages),
        "limits": msgspec.to_builtins(settings.limits)
        | {"max_upload_mb": settings.relay.max_upload_mb, "call_seconds": settings.relay.call_seconds},
        "jobs": msgspec.to_builtins(settings.jobs) | {"credits_per_job": 1},
        "retention": {
            "jobs_days": settings.retention.jobs_days,
            "outputs_days": settings.retention.outputs_days,
        },
        "rules": RULES,
    }


RULES = {
    "charge": "One credit per job, when its first answer arrives. Allowance first, then purchased credits.",
    "failure": "No answer, no charge: a failed, refused or empty call gives the credit back.",
    "abort": "An answer that arrived is charged even if you hung up before reading it.",
    "stream": "A stream is charged before its first piece leaves, and stays charged if it breaks later.",
    "retry": "The same request under the same Idempotency-Key within a day is answered from the store, free.",
    "refund": "A refund goes back where the credit came from; if that month is over, to purchased credits.",
    "crash": "What was in flight when the relay stopped is given back at its next start.",
}


class ReceiptKey:
    """What the signatures of receipts can be checked with."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True, "algorithm": "ed25519", "public_key": self._core.receipts.public_key})


class Capabilities:
    def __init__(self, core: Core) -> None:
        self._core = core

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        registry = self._core.registry
        answer(
            resp,
            {
                "ok": True,
                "tasks": {task: [b.name for b in registry.routes[task] if task in b.tasks] for task in TASKS},
                "backends": {
                    b.name: {"tasks": sorted(b.tasks), "models": models_of(b), "cost_class": b.cost_class}
                    for b in registry.backends.values()
                },
                "models": sorted({model for b in registry.backends.values() for model in models_of(b)}),
                "formats": FORMATS,
                "auth": [strategy.name for strategy in registry.auth],
                "rails": [rail.name for rail in registry.rails.values() if rail.off() is None],
            },
        )


def models_of(backend: InferenceBackend) -> list[str]:
    return sorted({model for task in backend.tasks for model in backend.models(task)})
