"""`relay check`."""

from __future__ import annotations

import sys

from relay import logs
from relay.cli import output
from relay.cli.options import Places
from relay.cli.plugins import Healthy, health_of
from relay.loader import load_plugins


def run(places: Places, *, online: bool) -> int:
    """0 fine, 1 not; each complaint names its key. Raises ConfigError with the complaints."""
    logs.configure("warning")
    config = places.load()
    registry = load_plugins(config)
    for note in registry.notes:
        print(f"warning: {note}", file=sys.stderr)
    failing = 0
    checkers = [strategy for strategy in registry.auth if isinstance(strategy, Healthy)]
    services: list[Healthy] = [*registry.backends.values(), *registry.rails.values(), *checkers]
    for service in services if online else ():
        health = health_of(service)
        failing += not health.ok
        say = output.good if health.ok else output.bad
        state = "healthy" if health.ok else "not healthy"
        say(f"{service.name}: {state} {health.detail}".rstrip())
    if not failing:
        output.good(f"{config.path}: fine, {len(config.plugins)} plugins enabled")
    return 1 if failing else 0
