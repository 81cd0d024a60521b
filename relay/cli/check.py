"""`relay check`."""

from __future__ import annotations

import sys

from relay.cli import output
from relay.cli.options import Places
from relay.errors import ConfigError
from relay.loader import load_plugins


def run(places: Places, *, online: bool) -> int:
    """0 fine, 1 not; each complaint names its key."""
    try:
        config = places.load()
        registry = load_plugins(config)
    except ConfigError as exc:
        print(f"relay: {exc.message}", file=sys.stderr)
        return 1
    for note in registry.notes:
        print(f"warning: {note}", file=sys.stderr)
    failing = 0
    for backend in registry.backends.values() if online else ():
        health = backend.health()
        failing += not health.ok
        say = output.good if health.ok else output.bad
        state = "healthy" if health.ok else "not healthy"
        say(f"{backend.name}: {state} {health.detail}".rstrip())
    if not failing:
        output.good(f"{config.path}: fine, {len(config.plugins)} plugins enabled")
    return 1 if failing else 0
