"""The command line. Commands parse their options here and do their work in a module of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from relay import __version__
from relay.cli.options import Places
from relay.domain.access import ROLES
from relay.errors import RelayError

F = Callable[..., Any]


def places(command: F) -> F:
    """`--config` and `--data`, which every command takes."""
    command = click.option(
        "--data", "data", type=click.Path(path_type=Path), envvar="RELAY_DATA_DIR", help="Data dir [default: ./data]."
    )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="RELAY_CONFIG",
        default=Path("plugins.toml"),
        show_default=True,
        help="Settings file.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relay")
def cli() -> None:
    """Relay: a credit-metered gateway in front of AI inference."""


@cli.command()
@places
@click.option("--host", envvar="RELAY_HOST", help="Address to listen on [default: 127.0.0.1].")
@click.option("--port", envvar="RELAY_PORT", type=click.IntRange(0, 65535), help="Port; 0 picks one [default: 8484].")
def serve(config: Path, data: Path | None, host: str | None, port: int | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    from relay.cli.serve import run

    sys.exit(run(Places(config, data), host, port))


@cli.command()
@places
def demo(config: Path, data: Path | None) -> None:
    """Turn a recording into text, for one credit, without any key."""
    from relay.cli.demo import run

    sys.exit(run(Places(config, data)))


@cli.command()
@places
@click.option("--online", is_flag=True, help="Also ask every enabled backend for its health.")
def check(config: Path, data: Path | None, online: bool) -> None:  # noqa: FBT001
    """Say what is wrong with the settings and plugins."""
    from relay.cli.check import run

    sys.exit(run(Places(config, data), online=online))


@cli.command()
@places
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(config: Path, data: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """List every installed plugin."""
    from relay.cli.plugins import run

    sys.exit(run(Places(config, data), as_json=as_json))


@cli.command()
@places
@click.option("--port", type=click.IntRange(0, 65535), default=8485, show_default=True, help="Port; 0 picks one.")
def sandbox(config: Path, data: Path | None, port: int) -> None:  # noqa: ARG001 - every command takes them
    """Play the services the relay talks to, for trying things out and for tests."""
    from relay.cli.sandbox import run

    sys.exit(run(port))


@cli.command()
@places
@click.option("--quick", is_flag=True, help="A minute less: whether it all works, not how fast.")
@click.option("--rounds", type=click.IntRange(1, 100), help="Rounds, each with fresh processes [default: 3].")
@click.option("--seconds", type=click.FloatRange(0.1, 600), help="How long each load lasts [default: 3].")
@click.option("--litellm", type=click.Path(path_type=Path), help="LiteLLM's program [default: the one on PATH].")
@click.option("--portkey", type=click.Path(path_type=Path), help="Portkey's start-server.js, or its folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(config: Path, data: Path | None, **options: Any) -> None:  # noqa: ARG001 - every command takes them
    """Measure the relay beside its peers, on a fast upstream of its own."""
    from relay.cli.bench import run

    sys.exit(run(**options))


@cli.command()
@places
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reconcile(config: Path, data: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Ask the payment services about every open order, once."""
    from relay.cli.reconcile import run

    sys.exit(run(Places(config, data), as_json=as_json))


@cli.group()
def ledger() -> None:
    """Look after the books."""


@ledger.command()
@places
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(config: Path, data: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Recompute every balance from the ledger entries."""
    from relay.cli.ledger import run

    sys.exit(run(Places(config, data), as_json=as_json))


@cli.group()
def codes() -> None:
    """Discount codes."""


@codes.command("list")
@places
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_codes(config: Path, data: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """List the codes, the newest first."""
    from relay.cli.codes import show

    sys.exit(show(Places(config, data), as_json=as_json))


@codes.command("create")
@places
@click.argument("code")
@click.option("--percent", metavar="25", help="Take off this many percent.")
@click.option("--off", metavar="5.00", help="Take off this amount.")
@click.option("--price", metavar="3.00", help="Set this price.")
@click.option("--free", is_flag=True, help="Make it free.")
@click.option("--currency", metavar="USD", default="USD", show_default=True, help="Of --off and --price.")
@click.option("--max-uses", type=click.IntRange(1, 1_000_000_000), help="How many orders may use it.")
@click.option("--package", "products", multiple=True, metavar="ID", help="Only for this package; may be repeated.")
@click.option("--tier", "tiers", multiple=True, metavar="NAME", help="Only for this tier; may be repeated.")
@click.option("--starts", "starts_at", metavar="2026-01-31T12:00:00Z", help="Valid from then on.")
@click.option("--expires", "expires_at", metavar="2026-02-28T12:00:00Z", help="No longer valid then.")
@click.option("--label", help="A note for you.")
def create_code(config: Path, data: Path | None, code: str, free: bool, currency: str, **options: Any) -> None:  # noqa: FBT001
    """Make the discount code CODE: --percent, --off, --price or --free, one of them."""
    from relay.cli.codes import create

    kinds = {"percent": "percent", "off": "fixed", "price": "set_price"}
    given = {kind: amount for name, kind in kinds.items() if (amount := options.pop(name)) is not None}
    if free:
        given["free"] = ""
    if len(given) != 1:
        raise click.UsageError("give --percent, --off, --price or --free, one of them")
    ((kind, amount),) = given.items()
    sys.exit(create(Places(config, data), code, kind, amount, currency, **options))


@codes.command("disable")
@places
@click.argument("code")
def disable_code(config: Path, data: Path | None, code: str) -> None:
    """Let nobody use CODE any more."""
    from relay.cli.codes import disable

    sys.exit(disable(Places(config, data), code))


@cli.group()
def keys() -> None:
    """Scoped keys of the admin API."""


@keys.command("create")
@places
@click.option("--role", required=True, type=click.Choice(sorted(ROLES)), help="What the key may do.")
@click.option("--label", help="A note for you [default: the role].")
@click.option("--expires-days", type=click.IntRange(1, 3650), help="It ends by itself after so many days.")
def create_key(config: Path, data: Path | None, role: str, label: str | None, expires_days: int | None) -> None:
    """Make a key and print it, this once."""
    from relay.cli.keys import create

    sys.exit(create(Places(config, data), role, label, expires_days))


@keys.command("list")
@places
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(config: Path, data: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """List the keys, the newest first."""
    from relay.cli.keys import show

    sys.exit(show(Places(config, data), as_json=as_json))


@keys.command("revoke")
@places
@click.argument("key", metavar="ID")
def revoke_key(config: Path, data: Path | None, key: str) -> None:
    """Let nobody in with the key ID any more."""
    from relay.cli.keys import revoke

    sys.exit(revoke(Places(config, data), key))


def main() -> None:
    """Exit codes: 0 fine, 1 the operator must fix something, 2 wrong usage."""
    try:
        cli(prog_name="relay")
    except RelayError as exc:
        for line in exc.message.splitlines():
            click.echo(f"relay: {line}", err=True)
        sys.exit(1)
