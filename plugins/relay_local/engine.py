"""One speech model, loaded on first use, behind one lock, unloaded when idle. A recording whose speakers are told
apart has a model of its own, behind the same lock.

moonshine-voice 0.1.0: neither its Transcriber nor the loading of its library may be used by two threads at once.
It finds speech by itself (a voice activity detector is inside): silence, noise and tones give no line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from relay.api import ConfigError, Unavailable, UpstreamFailed, UpstreamTimeout
from relay_local.fair_lock import FairLock

MODEL = "moonshine-tiny-en"
RATE = 16_000
WATCHER = "relay-local-idle"
FIX = 'install it with: pip install "recap-relay[local]"'
one_at_a_time = FairLock()


@dataclass(frozen=True, slots=True)
class Line:
    """A stretch of speech; seconds from the start of the samples."""

    start: float
    end: float
    text: str


def find_model() -> Path:
    """The folder of the model inside the installed wheel. Nothing is imported, and nothing is ever downloaded."""
    spec = find_spec("moonshine_voice")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"the speech model is not installed; {FIX}")
    folder = Path(spec.submodule_search_locations[0]) / "assets" / "tiny-en"
    if not (folder / "encoder_model.ort").is_file():
        raise ConfigError(f"the installed moonshine-voice carries no speech model (0.1.0 does); {FIX}")
    return folder


@contextmanager
def explained() -> Iterator[None]:
    """What the library complains of leaves as UpstreamFailed."""
    from moonshine_voice.errors import MoonshineError

    try:
        yield
    except MoonshineError as exc:
        raise UpstreamFailed(f"the speech model failed: {exc}") from exc


class Engine:
    """`idle_seconds` after the last use the model leaves memory. The watching thread lives only as long as it."""

    def __init__(self, model: Path, *, idle_seconds: float) -> None:
        self._model = model
        self._idle_seconds = idle_seconds
        self._transcriber: Any = None
        self._used = 0.0
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def loaded(self) -> bool:
        return self._transcriber is not None

    def lines(self, samples: Sequence[float], *, timeout: float) -> list[Line]:
        """What is said in at most 30 s of 16 kHz samples between -1 and 1; empty when nothing is.

        `timeout`: seconds to wait for the model while another call has it.
        """
        with self.turn(timeout):
            try:
                if self._transcriber is None:
                    self._load()
                return self._transcribe(samples)
            finally:
                self._used = time.monotonic()

    @contextmanager
    def turn(self, timeout: float) -> Iterator[None]:
        """Inside, this thread alone may use the library; nobody should stay for more than a few seconds.

        Raises UpstreamTimeout when others have it for all of `timeout` seconds, Unavailable after `close`.
        """
        if not one_at_a_time.acquire(timeout):
            raise UpstreamTimeout("the speech model was busy for all the time this call had")
        try:
            if self._closed.is_set():
                raise Unavailable("the relay is shutting down")
            yield
        finally:
            one_at_a_time.release()

    def new_transcriber(self, options: Mapping[str, str]) -> Any:
        """One more model in memory, for whoever closes it again. Only inside a `turn`.

        Raises Unavailable when it cannot be loaded.
        """
        try:
            from moonshine_voice.moonshine_api import ModelArch
            from moonshine_voice.transcriber import Transcriber

            # Without this one every line carries its samples as a list of floats.
            return Transcriber(self._model, ModelArch.TINY, options={"return_audio_data": "false", **options})
        except Exception as exc:
            raise Unavailable(f"the speech model could not be loaded: {exc}; {FIX}") from exc

    def _unload_if_idle(self) -> bool:
        """True when no model is in memory afterwards."""
        with one_at_a_time:
            if self._transcriber is not None and self._idle_left() <= 0:
                self._unload()
            return self._transcriber is None

    def close(self) -> None:
        """Unload at once; later calls are refused. Waits for the piece being transcribed (a few seconds)."""
        self._closed.set()
        with one_at_a_time:
            self._unload()
        if self._watcher is not None:
            self._watcher.join(timeout=5)

    def _load(self) -> None:
        self._transcriber = self.new_transcriber({})
        self._watcher = threading.Thread(target=self._watch, name=WATCHER, daemon=True)
        self._watcher.start()

    def _transcribe(self, samples: Sequence[float]) -> list[Line]:
        with explained():
            found = self._transcriber.transcribe_without_streaming(samples, RATE).lines
        spoken = [(line, line.text.strip()) for line in found]
        return [Line(line.start_time, line.start_time + line.duration, text) for line, text in spoken if text]

    def _idle_left(self) -> float:
        return self._used + self._idle_seconds - time.monotonic()

    def _unload(self) -> None:
        if self._transcriber is not None:
            self._transcriber.close()
            self._transcriber = None

    def _watch(self) -> None:
        while not self._closed.wait(max(self._idle_left(), 0.05)):
            if self._unload_if_idle():
                return
