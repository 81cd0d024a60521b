"""`relay sandbox`: the outside world on one port, until SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading

from relay.errors import ConfigError
from relay.testing.sandbox import sandbox
from relay.testing.sandbox.control import CONTROL


def run(port: int) -> int:
    """Plays every service on 127.0.0.1 until SIGTERM or SIGINT; 0 picks a port. ConfigError: it cannot listen there."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    with contextlib.ExitStack() as stack:
        try:
            box = stack.enter_context(sandbox(port=port))
        except OSError as exc:
            reason = f"the sandbox cannot listen on port {port}: {exc.strerror}; choose another with --port"
            raise ConfigError(reason) from None
        print("For plugins.toml:\n", file=sys.stderr)
        for service in box.services.values():
            if service.settings:
                url = f"{box.url}/{service.name}"
                print(f"{service.settings.replace('{url}', url)}\n", file=sys.stderr)
        print(f"What there is and how to make it fail: {box.url}{CONTROL}", file=sys.stderr, flush=True)
        print(f"relay sandbox listening on {box.url}", flush=True)
        stopping.wait()
    return 0
