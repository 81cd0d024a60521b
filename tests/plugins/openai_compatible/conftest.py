"""The sandbox's OpenAI-shaped server, and the plugin set up for it."""

import time

import pytest
from relay_openai_compatible import Plugin

from relay.ports.inference import CallContext, ChatRequest
from relay.tables import Table
from relay.testing.sandbox.box import sandbox
from relay.testing.sandbox.openai import OpenAI

QUESTION = ({"role": "user", "content": "hello there"},)


@pytest.fixture
def box():
    with sandbox([OpenAI()]) as box:
        yield box


@pytest.fixture
def backend_for():
    made = []

    def make(base_url, **settings):
        table = Table({"vllm": {"base_url": base_url, **settings}}, "plugins.openai_compatible")
        (backend,) = Plugin(table).relay_inference_backends()
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(box, backend_for):
    return backend_for(f"{box.url}/openai/v1", tasks=["analyze", "transcribe"], api_key="sesame-key")


@pytest.fixture
def ctx():
    return CallContext(deadline=time.monotonic() + 30)


@pytest.fixture
def ask(backend, ctx):
    def ask(**more):
        return list(backend.chat(ChatRequest(QUESTION, **more), ctx))

    return ask
