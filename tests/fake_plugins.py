"""Plugins made on the spot and installed for real: a module and its dist-info in a folder on the path."""

from __future__ import annotations

import textwrap
from pathlib import Path

AUTH = """
    from relay.api import Identity, hookimpl
    class Auth:
        name, rank, headers = "{name}", 50, ("x-{name}",)
        def identify(self, headers):
            found = headers.get("x-{name}")
            return Identity("user:" + found, self.name) if found else None
        def is_operator(self, headers): return False
    class Plugin:
        def __init__(self, table): dict(table)
        @hookimpl
        def relay_auth_strategies(self): return [Auth()]
"""

BACKEND = """
    from relay.api import Delta, Health, Unsupported, hookimpl
    class Backend:
        cost_class, max_concurrent, queue_size = "own", 1, 1
        tasks = frozenset({{"analyze"}})
        def __init__(self, name): self.name = name
        def models(self, task): return ()
        def transcribe(self, request, ctx): raise Unsupported("only text")
        def chat(self, request, ctx): yield Delta("hello", finish="stop", model="m")
        def health(self): return Health(True)
        def close(self): pass
    class Plugin:
        def __init__(self, table): self.names = list(table) or ["{name}"]
        @hookimpl
        def relay_inference_backends(self): return [Backend(name) for name in self.names]
"""

STORAGE = """
    from relay.api import hookimpl
    from relay.testing.memory import MemoryStorage
    class Plugin:
        def __init__(self, table): pass
        @hookimpl
        def relay_storages(self): return [MemoryStorage()]
"""


def install(folder: Path, name: str, source: str, *, dist: str | None = None, storage: bool = False) -> str:
    """Install a plugin called `name`, with `{name}` in `source` filled in; returns the name of its module."""
    dist = dist or f"fake-{name}"
    module = f"{dist.replace('-', '_')}_module"
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(textwrap.dedent(source).format(name=name), encoding="utf-8")
    info = folder / f"{dist.replace('-', '_')}-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2.3\n", encoding="utf-8")
    points = f"[relay.plugins]\n{name} = {module}:Plugin\n"
    if storage:
        points += f"[relay.plugins.storage]\n{name} = {module}:Plugin\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    return module
