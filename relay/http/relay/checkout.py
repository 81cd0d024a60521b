"""Buying: packages, checkouts, own invoices."""

from __future__ import annotations

import re
from typing import Annotated, Any

import falcon
import msgspec
from msgspec import Meta, Struct

from relay.errors import BadRequest, Invalid
from relay.http.answers import answer
from relay.http.body import query_int, read_json
from relay.http.callers import Callers
from relay.http.idempotency import once
from relay.services.checkout import Wish
from relay.services.core import Core

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$(?!\n)")]
Url = Annotated[str, Meta(max_length=2048)]
WEB = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?", re.IGNORECASE)


class Buying(Struct):
    rail: Name | None = None
    code: Annotated[str, Meta(max_length=64)] | None = None
    redirect_url: Url | None = None
    email: Email | None = None


class PackageBody(Buying, kw_only=True):
    package: Name


class TierBody(Buying, kw_only=True):
    tier: Name


class Shop:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers

    def on_get_packages(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._callers.identify(req)
        sellers = self._core.till.checkout.sellers
        packages = [
            msgspec.to_builtins(package) | {"rails": sellers(package.currency)}
            for package in self._core.settings.packages
        ]
        rails = sorted({rail for package in packages for rail in package["rails"]})
        answer(resp, {"ok": True, "packages": packages, "rails": rails})

    def on_post_package(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        body = read_json(req, PackageBody)
        self._buy(req, resp, identity, "package", body.package, body)

    def on_post_tier(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        body = read_json(req, TierBody)
        self._buy(req, resp, identity, "tier", body.tier, body)

    def on_get_invoices(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Newest first; `next` is the `before` of the next page, null at the end."""
        identity = self._callers.identify(req)
        limit = query_int(req, "limit", default=50, low=1, high=200)
        before = req.get_param("before")
        if before is not None and len(before) > 200:
            raise BadRequest("before must be the next of an earlier page", details={"path": "before"})
        key = None if before is None else f"{identity.account} {before}"
        invoices, following = self._core.till.checkout.page(identity.account, key, limit)
        answer(resp, {"ok": True, "invoices": invoices, "next": following})

    def on_get_invoice(self, req: falcon.Request, resp: falcon.Response, invoice: str) -> None:
        identity = self._callers.identify(req)
        answer(resp, {"ok": True, "invoice": self._core.till.checkout.own(identity.account, invoice)})

    def _buy(
        self, req: falcon.Request, resp: falcon.Response, identity: Any, kind: str, product: str, body: Buying
    ) -> None:
        if body.redirect_url is not None and not WEB.fullmatch(body.redirect_url):
            raise Invalid("redirect_url must be an http or https URL", "redirect_url")
        wish = Wish(kind, product, body.rail, body.code, body.redirect_url, body.email)
        with once(self._core, req, resp, identity.account) as change:
            if not change.replayed:
                answer(resp, {"ok": True, "invoice": self._core.till.checkout.start(identity, wish)}, 201)
