"""`/admin/packages`: the credit packs on sale."""

from __future__ import annotations

from typing import Annotated

import falcon
from msgspec import Meta, Struct

from relay.errors import Invalid
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.services.core import Core
from relay.services.packages import Packages
from relay.services.settings_book import Saved
from relay.settings import Currency, Package, PackageId, Price

Version = Annotated[int, Meta(ge=0)]
NEWEST = 10**15


class Terms(Struct, forbid_unknown_fields=True):
    credits: Annotated[int, Meta(ge=1, le=1_000_000)]
    price: Price
    currency: Currency = "USD"
    id: PackageId | None = None
    version: Version | None = None


class AdminPackages:
    def __init__(self, core: Core) -> None:
        self._packages = Packages(core.settings_book)

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"ok": True} | self._packages.view())

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Put a new one on sale, at once."""
        terms = read_json(req, Terms)
        if terms.id is None:
            raise Invalid("id is required", "id")
        saved = self._packages.add(req.context.actor, package_of(terms, terms.id), terms.version)
        self._answer(resp, saved, 201)

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, package: str) -> None:
        terms = read_json(req, Terms)
        if terms.id not in (None, package):
            raise Invalid("a package keeps its id; remove it and add another", "id")
        self._answer(resp, self._packages.change(req.context.actor, package_of(terms, package), terms.version))

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, package: str) -> None:
        version = query_int(req, "version", default=None, low=0, high=NEWEST)
        self._answer(resp, self._packages.remove(req.context.actor, package, version))

    def _answer(self, resp: falcon.Response, saved: Saved, status: int = 200) -> None:
        answer(resp, {"ok": True} | self._packages.view() | {"version": saved.version}, status)


def package_of(terms: Terms, name: str) -> Package:
    """Raises Invalid for a price that its currency cannot have."""
    try:
        return Package(name, terms.credits, terms.price, terms.currency)
    except ValueError as exc:
        raise Invalid(str(exc), "price") from None
