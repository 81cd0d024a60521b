"""Spark Control: a GPU box on the operator's network that transcribes (Parakeet) and chats (vLLM)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from relay.api import ConfigError, HTTPClient, InferenceBackend, hookimpl, read_settings
from relay_spark.backend import SparkBackend
from relay_spark.settings import Settings


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        where = getattr(table, "path", "plugins.spark")
        settings = read_settings(table, Settings)
        with naming(f"{where}.url"):
            HTTPClient(settings.url).close()
        with naming(f"{where}.token"):
            self._backend = SparkBackend(settings, where)

    @hookimpl
    def relay_inference_backends(self) -> list[InferenceBackend]:
        return [self._backend]


@contextmanager
def naming(key: str) -> Iterator[None]:
    try:
        yield
    except ValueError as exc:
        raise ConfigError(f"{key}: {exc}") from None
