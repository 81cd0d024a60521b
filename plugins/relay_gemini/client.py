"""Google's SDK, made once and kept. Importing this module costs 0.4 s and 36 MB, so it is done at the first call."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from google import genai
from google.genai import errors, types
from google.genai.client import DebugConfig

from relay.api import CallContext, PluginError, Unavailable, UpstreamFailed
from relay_gemini.failures import failure, patiently
from relay_gemini.settings import GOOGLE, Settings
from relay_gemini.wire import Guard, Transport

T = TypeVar("T")

# What a nonsensical answer makes the SDK raise: it reads JSON, shapes and headers without looking first.
NONSENSE = (ValueError, KeyError, TypeError, AttributeError, httpx2.HTTPError)


class Client:
    """Everything is said explicitly, because the SDK takes whatever is not from the environment."""

    def __init__(self, settings: Settings, where: str) -> None:
        self._settings = settings
        self._where = where
        self._secret = settings.api_key.strip()
        self._base_url = settings.base_url or GOOGLE
        self._http = httpx2.Client(
            transport=Transport(self._base_url, settings.connect_timeout), trust_env=False, follow_redirects=False
        )
        try:
            self._sdk = genai.Client(
                api_key=self._secret,
                enterprise=False,
                debug_config=DebugConfig(client_mode=None, replays_directory=None, replay_id=None),
                http_options=types.HttpOptions(base_url=self._base_url, api_version="v1", httpx_client=self._http),
            )
        except (ValueError, ImportError) as exc:
            raise Unavailable(f"Google's SDK cannot be set up: {type(exc).__name__}; see {where}") from exc

    def stream(
        self, model: str, contents: list[dict[str, Any]], config: dict[str, Any], ctx: CallContext
    ) -> Generator[types.GenerateContentResponse, None, None]:
        """The chunks of one answer. Asked again only before the first has come. Closing it ends the call there."""
        guard = Guard(ctx)

        def start() -> tuple[Iterator[types.GenerateContentResponse], types.GenerateContentResponse | None]:
            asked = types.GenerateContentConfig(
                **config,
                automatic_continuation=False,
                automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
                http_options=self._options(ctx),
            )
            chunks = self._sdk.models.generate_content_stream(model=model, contents=contents, config=asked)
            return chunks, next(chunks, None)

        with ctx.interruptible(guard.stop):
            chunks, chunk = self._patiently(start, guard)
            try:
                while chunk is not None:
                    yield chunk
                    chunk = self._once(lambda: next(chunks, None), guard)
            finally:
                with suppress(Exception):
                    chunks.close()  # type: ignore[attr-defined]  # it is a generator

    def upload(self, path: Path, mime_type: str, name: str, ctx: CallContext) -> types.File:
        def start() -> types.File:
            config = types.UploadFileConfig(
                mime_type=mime_type, display_name=name, http_options=self._options(ctx, base_url=self._base_url)
            )
            return self._sdk.files.upload(file=path, config=config)

        return self._call(start, ctx)

    def file(self, name: str, ctx: CallContext) -> types.File:
        config = types.GetFileConfig
        return self._call(lambda: self._sdk.files.get(name=name, config=config(http_options=self._options(ctx))), ctx)

    def delete(self, name: str, ctx: CallContext) -> None:
        config = types.DeleteFileConfig
        self._call(lambda: self._sdk.files.delete(name=name, config=config(http_options=self._options(ctx))), ctx)

    def files(self, ctx: CallContext) -> list[types.File]:
        """All files of this key, read page by page."""

        def start() -> list[types.File]:
            config = types.ListFilesConfig(page_size=100, http_options=self._options(ctx))
            return list(self._sdk.files.list(config=config))

        return self._call(start, ctx)

    def check_model(self, model: str, ctx: CallContext) -> None:
        """Raises the PluginError that says why this key cannot use it."""
        config = types.GetModelConfig
        self._call(lambda: self._sdk.models.get(model=model, config=config(http_options=self._options(ctx))), ctx)

    def close(self) -> None:
        self._http.close()

    def _options(self, ctx: CallContext, base_url: str | None = None) -> types.HttpOptions:
        """The gap timeout in milliseconds, and the deadline for Google in seconds."""
        left = ctx.remaining()
        gap = max(1, round(min(left, self._settings.read_timeout) * 1000))
        return types.HttpOptions(
            base_url=base_url, timeout=gap, headers={"X-Server-Timeout": str(max(1, math.ceil(left)))}
        )

    def _call(self, start: Callable[[], T], ctx: CallContext) -> T:
        guard = Guard(ctx)
        with ctx.interruptible(guard.stop):
            return self._patiently(start, guard)

    def _patiently(self, start: Callable[[], T], guard: Guard) -> T:
        def attempt() -> T:
            with guard.active(), self._edge():
                return start()

        return patiently(attempt, guard.ctx, self._where, self._secret)

    def _once(self, step: Callable[[], T], guard: Guard) -> T:
        try:
            with guard.active(), self._edge():
                return step()
        except errors.APIError as exc:
            raise failure(exc, self._where, self._secret) from exc

    @contextmanager
    def _edge(self) -> Iterator[None]:
        """Everything but an error answer leaves as one of the relay's errors."""
        try:
            yield
        except (PluginError, errors.APIError):
            raise
        except NONSENSE as exc:
            raise UpstreamFailed(f"Gemini gave an answer that cannot be read ({type(exc).__name__})") from exc
        except RuntimeError as exc:
            if not self._http.is_closed:
                raise
            raise Unavailable("the relay is stopping") from exc
