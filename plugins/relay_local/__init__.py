"""The embedded backend: English speech recognition on the CPU and an extractive summary. No key, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from relay.api import InferenceBackend, hookimpl, read_settings
from relay_local.backend import LocalBackend
from relay_local.engine import Engine, find_model


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`idle_minutes`: the model leaves memory this long after its last use. `max_seconds`: longest recording taken.
    `queue_size`: calls that may wait while one runs."""

    idle_minutes: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    max_seconds: Annotated[int, msgspec.Meta(ge=1)] = 14_400
    queue_size: Annotated[int, msgspec.Meta(ge=0)] = 32


class Plugin:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        chosen = read_settings(settings, Settings)
        engine = Engine(find_model(), idle_seconds=chosen.idle_minutes * 60)
        self._backend = LocalBackend(engine, max_seconds=chosen.max_seconds, queue_size=chosen.queue_size)

    @hookimpl
    def relay_inference_backends(self) -> Sequence[InferenceBackend]:
        return [self._backend]
