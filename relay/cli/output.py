"""Colours, tables and progress bars on a terminal; plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(*head, box=None, header_style="bold")
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def good(text: str) -> None:
    _styled(text, "green")


def bad(text: str) -> None:
    _styled(text, "bold red")


def heading(text: str) -> None:
    _styled(text, "bold cyan")


def _styled(text: str, style: str) -> None:
    if not sys.stdout.isatty():
        print(text, flush=True)
        return
    from rich.console import Console

    Console(highlight=False).print(text, style=style, markup=False)


@contextmanager
def progress(what: str) -> Iterator[Callable[[float, float], None]]:
    """A bar on stderr for work of unknown length: call it with (done, of)."""
    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
