"""What is measured: the mock itself, the relay before it, and two peers before it. Each starts fresh."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.bench import processes
from relay.errors import ConfigError

OPERATOR_KEY = "operator-key-of-the-benchmark"
PROMPT = "What was decided in the meeting? " + "word " * 180
"""A chat request of about 1 KB."""
RELAY = """
[relay]
log_level = "warning"
admin_password = "only for the benchmark"
threads = {threads}
[tiers.core]
lifetime_credits = {credits}
[limits]
requests_per_minute = 0
concurrent_calls = 0
new_installs_per_address_per_hour = 0
[plugins.jsonfile]
[plugins.operator_key]
key = "{key}"
[plugins.openai_compatible.mock]
base_url = "http://127.0.0.1:{upstream}{prefix}/v1"
model = "m"
max_concurrent = {threads}
queue_size = {threads}
"""
LITELLM = """
model_list:
  - model_name: m
    litellm_params:
      model: openai/m
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: unused
general_settings:
  master_key: {key}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load. `headers` identify caller n, as `name: value` lines."""

    port: int
    pid: int
    headers: Callable[[int], list[str]]
    path: str = "/v1/chat/completions"
    data: Path | None = None

    def request(self, caller: int, *, stream: bool = False) -> bytes:
        fields = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
        body = json.dumps(fields | {"stream": True} if stream else fields, separators=(",", ":")).encode()
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *self.headers(caller),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def requests(self, callers: int, *, stream: bool = False) -> list[bytes]:
        return [self.request(n, stream=stream) for n in range(callers)]


Start = Callable[[int], AbstractContextManager[Target]]
"""Start it before the mock on this port."""


@contextmanager
def mock() -> Iterator[tuple[int, int]]:
    """The upstream: its port and process id."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        log = Path(folder) / "log"
        with processes.started(processes.python("relay.bench.mock"), log, processes.clean_env(), says=True) as process:
            yield int(processes.first_line(process, "the mock upstream", log)), process.pid


@contextmanager
def direct(upstream: int) -> Iterator[Target]:
    """No gateway at all."""
    yield Target(upstream, os.getpid(), lambda _caller: [])


@contextmanager
def relay(upstream: int, *, threads: int = 256, credits: int = 10**9, prefix: str = "") -> Iterator[Target]:  # noqa: A002
    """`relay serve` as shipped, metering on a durable ledger; every caller is a user of its own."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        config, data, log = folder / "plugins.toml", folder / "data", folder / "log"
        config.write_text(
            RELAY.format(threads=threads, credits=credits, key=OPERATOR_KEY, upstream=upstream, prefix=prefix)
        )
        command = processes.python("relay", "serve", "--port", "0", "--config", str(config), "--data", str(data))
        with processes.started(command, log, processes.clean_env(), says=True) as process:
            port = int(processes.first_line(process, "the relay", log).rpartition(":")[2])
            yield Target(port, process.pid, _user, "/relay/v1/chat/completions", data)


def _user(caller: int) -> list[str]:
    return [f"X-Recap-Operator-Key: {OPERATOR_KEY}", f"X-Recap-User-Id: user-{caller}"]


def litellm(program: Path) -> Start:
    """LiteLLM's proxy, one worker, as its documents recommend for production, without its database."""

    @contextmanager
    def start(upstream: int) -> Iterator[Target]:
        with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
            folder, port, key = Path(name), processes.free_port(), f"sk-{secrets.token_hex(24)}"
            (folder / "config.yaml").write_text(LITELLM.format(upstream=upstream, key=key))
            command = [str(program), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1"]
            command += ["--port", str(port), "--num_workers", "1"]
            env = processes.clean_env(
                LITELLM_LOG="ERROR", LITELLM_MODE="PRODUCTION", LITELLM_LOCAL_MODEL_COST_MAP="True", HOME=name
            )
            log = folder / "log"
            with processes.started(command, log, env) as process:
                processes.wait_for_http(process, f"http://127.0.0.1:{port}/health/liveliness", "LiteLLM", log)
                yield Target(port, process.pid, lambda _caller: [f"Authorization: Bearer {key}"])

    return start


def portkey(program: Path) -> Start:
    """Portkey's gateway on node. It meters nothing and knows no callers."""

    @contextmanager
    def start(upstream: int) -> Iterator[Target]:
        with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
            port, log = processes.free_port(), Path(name) / "log"
            command = ["node", str(program), f"--port={port}", "--headless"]
            with processes.started(command, log, processes.clean_env(NODE_ENV="production")) as process:
                processes.wait_for_http(process, f"http://127.0.0.1:{port}/", "Portkey", log)
                headers = [
                    "x-portkey-provider: openai",
                    f"x-portkey-custom-host: http://127.0.0.1:{upstream}/v1",
                    "Authorization: Bearer unused",
                ]
                yield Target(port, process.pid, lambda _caller: headers)

    return start


def find_portkey(place: Path) -> Path:
    """`start-server.js`, given itself or a folder with `node_modules`. Raises ConfigError."""
    inside = ("build/start-server.js", "node_modules/@portkey-ai/gateway/build/start-server.js")
    for found in (place, *(place / each for each in inside), *(place.parent / each for each in inside[1:])):
        if found.is_file():
            return found
    raise ConfigError(f"no Portkey gateway at {place}: give its start-server.js or the folder of its node_modules")
