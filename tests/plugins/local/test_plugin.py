"""Settings, start and stop of the embedded backend."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from importlib.machinery import ModuleSpec

import pytest
from relay_local import Plugin, engine

from relay.api import ConfigError, Unavailable, UpstreamTimeout
from relay.errors import TooLarge

from .conftest import context, needs_model, sample


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == engine.WATCHER]


def start(settings=None):
    (backend,) = Plugin(settings or {}).relay_inference_backends()
    return backend


def wait_until(true, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"idle_minutes": 0}, "idle_minutes"),
        ({"max_seconds": "long"}, "max_seconds"),
        ({"queue_size": -1}, "queue_size"),
        ({"quality": 9}, "quality: unknown key"),
    ],
)
def test_a_wrong_setting_is_named(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Plugin(settings)


def test_without_the_speech_package_the_start_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install \"recap-relay\[local\]\""):
        Plugin({})


def test_a_release_of_the_package_without_a_model_is_refused(monkeypatch, tmp_path):
    spec = ModuleSpec("moonshine_voice", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(engine, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match="carries no speech model"):
        Plugin({})


@needs_model
def test_starting_imports_neither_the_model_nor_the_audio_library():
    code = (
        "import sys; from relay_local import Plugin; b = Plugin({}).relay_inference_backends()[0]; b.health();"
        "sys.exit(sum(name in sys.modules for name in ('moonshine_voice', 'av', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


@needs_model
def test_the_settings_reach_the_backend():
    backend = start({"queue_size": 3})
    assert (backend.name, backend.cost_class, backend.max_concurrent, backend.queue_size) == ("local", "local", 2, 3)
    assert backend.tasks == {"transcribe", "analyze", "diarize"}
    assert all(backend.models(task) for task in backend.tasks)


@needs_model
def test_a_recording_over_the_limit_is_refused(request_for):
    backend = start({"max_seconds": 2})
    with pytest.raises(TooLarge, match="2 seconds"):
        backend.transcribe(request_for(sample("beckett.wav")), context())


@needs_model
def test_the_model_leaves_memory_when_idle_and_comes_back(request_for):
    before = len(watchers())
    backend = start({"idle_minutes": 0.3 / 60})
    assert backend.health().detail == "model not loaded"
    for _ in range(2):
        backend.transcribe(request_for(sample("beckett.wav")), context())
        wait_until(lambda: backend.health().detail == "model not loaded")
    wait_until(lambda: len(watchers()) == before)
    backend.close()


@needs_model
def test_a_model_used_a_moment_ago_stays_in_memory(request_for):
    backend = start({"idle_minutes": 0.5})
    backend.transcribe(request_for(sample("beckett.wav")), context())
    time.sleep(0.3)
    assert backend.health().detail == "model loaded"
    backend.close()


@needs_model
def test_a_model_in_use_stays_though_one_piece_takes_longer_than_the_idle_time(request_for):
    backend = start({"idle_minutes": 0.001 / 60})
    transcript = backend.transcribe(request_for(sample("two_cities.wav")), context())
    assert transcript.segments[-1].start > 30
    backend.close()


@needs_model
def test_closing_unloads_and_leaves_no_thread_and_refuses_later_calls(request_for):
    before = len(watchers())
    backend = start()
    backend.transcribe(request_for(sample("beckett.wav")), context())
    assert backend.health().detail == "model loaded"
    assert len(watchers()) == before + 1
    backend.close()
    assert backend.health().detail == "model not loaded"
    assert len(watchers()) == before
    with pytest.raises(Unavailable, match="shutting down"):
        backend.transcribe(request_for(sample("beckett.wav")), context())


@needs_model
def test_a_call_does_not_wait_for_the_model_beyond_its_time(request_for):
    running = engine.Engine(engine.find_model(), idle_seconds=60)
    with engine.one_at_a_time, pytest.raises(UpstreamTimeout, match="busy"):
        running.lines([0.0] * 16_000, timeout=0.1)


@needs_model
def test_a_model_that_does_not_load_is_a_failure_another_backend_can_mend(tmp_path):
    broken = engine.Engine(tmp_path, idle_seconds=60)
    with pytest.raises(Unavailable, match="could not be loaded"):
        broken.lines([0.0] * 16_000, timeout=5)
    assert not broken.loaded
    broken.close()
