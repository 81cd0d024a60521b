"""Servers with OpenAI's shapes: vLLM, llama.cpp, Ollama, or a hosted one. A sub-table each, named by the operator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from relay.api import ConfigError, HTTPClient, InferenceBackend, hookimpl, read_settings
from relay_openai_compatible.backend import OpenAICompatible
from relay_openai_compatible.settings import Settings

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Plugin:
    def __init__(self, table: Mapping[str, Any]) -> None:
        where = getattr(table, "path", "plugins.openai_compatible")
        self._backends = [_backend(name, table[name], f"{where}.{name}") for name in table]
        if not self._backends:
            raise ConfigError(f"{where}: write a table [{where}.NAME] for each server")

    @hookimpl
    def relay_inference_backends(self) -> list[InferenceBackend]:
        return list(self._backends)


def _backend(name: str, table: Any, where: str) -> OpenAICompatible:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: must be a table [{where}]")
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: the name must be 1 to 64 characters of A-Z a-z 0-9 . _ -")
    settings = read_settings(table, Settings)
    key = {"authorization": f"Bearer {settings.api_key}"}
    for setting, headers in (("base_url", {}), ("api_key", key), ("headers", settings.headers)):
        try:
            HTTPClient(settings.root, headers=headers).close()
        except ValueError as exc:
            raise ConfigError(f"{where}.{setting}: {exc}") from None
    return OpenAICompatible(name, settings, where)
