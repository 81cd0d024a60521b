"""Several complaints in one go, so that an operator need not run `relay check` once per mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from relay.errors import ConfigError


class Complaints:
    def __init__(self) -> None:
        self._messages: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep a ConfigError of the block for later and go on after it."""
        try:
            yield
        except ConfigError as exc:
            self._messages.append(exc.message)

    def settle(self) -> None:
        """Raise what was collected as one ConfigError, a line each; do nothing when there is none."""
        if self._messages:
            raise ConfigError("\n".join(self._messages))
