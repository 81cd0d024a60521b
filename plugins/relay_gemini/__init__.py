"""Google's Gemini API: transcribes, chats, and tells speakers apart in short recordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.api import ConfigError, InferenceBackend, hookimpl, read_settings
from relay_gemini.backend import GeminiBackend
from relay_gemini.settings import Settings, check_settings


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        where = getattr(table, "path", "plugins.gemini")
        settings = read_settings(table, Settings)
        try:
            check_settings(settings)
        except ValueError as exc:
            raise ConfigError(f"{where}.{exc}") from None
        self._backend = GeminiBackend(settings, where)

    @hookimpl
    def relay_inference_backends(self) -> list[InferenceBackend]:
        return [self._backend]
