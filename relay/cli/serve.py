"""`relay serve`."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from typing import Any

import structlog

from relay import logs
from relay.cli.codes import commands as code_commands
from relay.cli.keys import commands as key_commands
from relay.cli.options import Places, make_data_dir
from relay.cli.plugins import plugin_rows
from relay.control import Command, ControlServer
from relay.errors import ConfigError
from relay.http.app import create_app
from relay.http.cors import cors
from relay.http.gate import gate
from relay.http.metrics import watch
from relay.http.selftest import self_test
from relay.http.server import Server, ServerOptions, listen, pin_to_one_cpu
from relay.loader import load_plugins
from relay.services.core import Core
from relay.services.verify import verify

log = structlog.get_logger("relay")

COLLECT_AFTER = (10_000, 10, 10)
"""`gc.set_threshold`. Python's own 700 looks through the calls that are running every few calls. A call leaves no
cycles behind, so what it has to find is little, and 10 000 objects are some megabytes."""


def run(places: Places, host: str | None, port: int | None) -> int:
    """Serve until a signal; 0 after an orderly end. Raises ConfigError for what the operator must fix."""
    interrupt_on_signals()
    try:
        return _run(places, host, port)
    except KeyboardInterrupt:
        return 0


def _run(places: Places, host: str | None, port: int | None) -> int:
    config = places.load()
    settings = config.settings.relay
    logs.configure(settings.log_level)
    if settings.pin_cpu:
        pin_to_one_cpu()
    registry = load_plugins(config)
    for note in registry.notes:
        log.warning("settings", note=note)
    core = Core(config, registry, make_data_dir(places.data_dir(config)))
    logs.configure(core.settings.relay.log_level)
    core.outside = outside(places, core, host, port)
    # Not closed when this fails: a clean close would make an edit by hand that was refused the new normal.
    core.start()
    try:
        return serve(core, settings.host if host is None else host, settings.port if port is None else port)
    finally:
        core.close()


def outside(places: Places, core: Core, host: str | None, port: int | None) -> dict[str, tuple[Any, str]]:
    """What a flag or the environment says instead of the file, and which of the two."""
    given = {"relay.host": (host, "RELAY_HOST"), "relay.port": (port, "RELAY_PORT")}
    if places.data is not None:
        given["relay.data_dir"] = (str(core.data_dir), "RELAY_DATA_DIR")
    return {
        key: (value, "env" if os.environ.get(name) == str(value) else "flag")
        for key, (value, name) in given.items()
        if value is not None
    }


def serve(core: Core, host: str, port: int) -> int:
    listening = listen(host, port)
    core.admin.first_password(show_password)
    app = create_app(core)
    server = Server(app, listening, gate(core), server_options(core))
    watch(core, server)
    control = ControlServer(core.data_dir, commands(core))
    install_signals(core, server)
    bound_host, bound_port = listening.getsockname()[:2]
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    print(f"relay listening on http://{shown}:{bound_port}", flush=True)
    try:
        self_test(core, app)
        spare_the_collector()
        server.run()
    finally:
        control.close()
    return 0


def spare_the_collector() -> None:
    """What stands when serving begins stays to its end, so no collection needs to look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def server_options(core: Core) -> ServerOptions:
    settings = core.settings.relay
    shutil.rmtree(core.spool_dir, ignore_errors=True)
    core.spool_dir.mkdir(mode=0o700)
    return ServerOptions(
        threads=settings.threads,
        spool_dir=core.spool_dir,
        max_spool_bytes=settings.max_spool_mb * 2**20,
        cors_headers=cors(settings.cors_origins),
        body_seconds=settings.body_seconds,
    )


def interrupt_on_signals() -> None:
    """A signal during the start ends it in order. Also in a container, whose first process ignores SIGTERM
    unless it has a handler."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def install_signals(core: Core, server: Server) -> None:
    """The first signal drains, a second one drains no longer."""
    drain = core.settings.relay.drain_seconds
    stopping = False

    def stop(_signal: int, _frame: Any) -> None:
        # A second signal may interrupt this very function, so it must not take the lock of `draining` again.
        nonlocal stopping
        if stopping:
            server.stop(0)
            return
        stopping = True
        server.stop(drain)
        core.draining.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def commands(core: Core) -> dict[str, Command]:
    """What other commands may ask of a running relay."""
    return {
        "ledger.verify": lambda progress: verify(core.storage, progress),
        "reconcile": lambda progress: core.till.reconciler.all(progress, actor="cli").view(),
        "plugins": lambda _progress: plugin_rows(core.registry, serving=True),
        **code_commands(core.storage, core.settings),
        **key_commands(core.admin.keys),
    }


def show_password(password: str) -> None:
    """Raises ConfigError when it cannot be shown; then it is not stored either, and the next start makes another."""
    note = f"relay: the admin password is {password} (shown this once; RELAY_ADMIN_PASSWORD replaces it)"
    try:
        print(note, file=sys.stderr, flush=True)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"the first admin password cannot be shown: {exc}. Set RELAY_ADMIN_PASSWORD") from None
