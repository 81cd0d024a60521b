"""Spark Control: a GPU box on the operator's network that transcribes (Parakeet) and chats (vLLM)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.api import ConfigError, InferenceBackend, hookimpl, read_settings
from relay_spark.backend import SparkBackend
from relay_spark.settings import Settings


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        where = getattr(table, "path", "plugins.spark")
        settings = read_settings(table, Settings)
        try:
            self._backend = SparkBackend(settings, where)
        except ValueError as exc:
            raise ConfigError(f"{where}: url or token: {exc}") from None

    @hookimpl
    def relay_inference_backends(self) -> list[InferenceBackend]:
        return [self._backend]
