"""Credit packs on sale, one at a time. They are saved as one setting, `packages`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from relay.errors import Conflict, NotFound
from relay.services.settings_book import Saved, SettingsBook
from relay.settings import Package, Settings


class Packages:
    def __init__(self, book: SettingsBook) -> None:
        self._book = book

    def view(self) -> dict[str, Any]:
        state = self._book.state
        source = "dashboard" if "packages" in state.kept else "file"
        packages = [msgspec.to_builtins(package) | {"source": source} for package in state.next.packages]
        return {"packages": packages, "version": state.overrides.version}

    def add(self, actor: str, package: Package, version: int | None) -> Saved:
        """Raises Conflict (package_exists)."""

        def add(now: tuple[Package, ...]) -> tuple[Package, ...]:
            if any(each.id == package.id for each in now):
                raise Conflict(f"there is a package {package.id} already; change it instead", code="package_exists")
            return (*now, package)

        return self._save(actor, add, version, "packages.add", package.id)

    def change(self, actor: str, package: Package, version: int | None) -> Saved:
        """Orders keep the price they were made with. Raises NotFound."""

        def change(now: tuple[Package, ...]) -> tuple[Package, ...]:
            _known(now, package.id)
            return tuple(package if each.id == package.id else each for each in now)

        return self._save(actor, change, version, "packages.change", package.id)

    def remove(self, actor: str, name: str, version: int | None) -> Saved:
        """Orders for it that are open are honoured when they are paid. Raises NotFound."""

        def remove(now: tuple[Package, ...]) -> tuple[Package, ...]:
            _known(now, name)
            return tuple(each for each in now if each.id != name)

        return self._save(actor, remove, version, "packages.remove", name)

    def _save(
        self,
        actor: str,
        edit: Callable[[tuple[Package, ...]], tuple[Package, ...]],
        version: int | None,
        action: str,
        name: str,
    ) -> Saved:
        def changes(settings: Settings) -> dict[str, Any]:
            return {"packages": msgspec.to_builtins(list(edit(settings.packages)))}

        return self._book.save(actor, changes, version=version, action=action, target=name)


def _known(packages: tuple[Package, ...], name: str) -> None:
    if all(each.id != name for each in packages):
        raise NotFound(f"there is no package {name!r}; there are: {', '.join(p.id for p in packages) or 'none'}"[:300])
