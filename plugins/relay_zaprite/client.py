"""Zaprite's endpoints: what is asked, and what a refusal means. Answers are plain documents here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from relay.api import RailClient, RailUnavailable
from relay_zaprite.orders import id_like
from relay_zaprite.settings import Settings

PAGE = 100


class Client:
    """`where`: the path of the settings table, for messages. All raise what RailClient raises, and RailUnavailable
    without a key or with one that Zaprite does not accept."""

    def __init__(self, settings: Settings, where: str) -> None:
        self._where = where
        self._has_key = bool(settings.api_key)
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._http = RailClient(settings.base_url, name="Zaprite", headers=headers)
        self.unusable = self._http.unusable
        self.close = self._http.close

    def off(self) -> str | None:
        if self._has_key:
            return None
        return f"{self._where}.api_key is not set; make a key at Zaprite under Settings, API"

    def order(self, order_id: str) -> Any | None:
        """By Zaprite's id or by ours; None when it has none, for certain."""
        return self._document("/v1/orders", order_id)

    def contact(self, contact_id: str) -> Any | None:
        return self._document("/v1/contacts", contact_id)

    def orders(self, page: int, limit: int = PAGE, timeout: float | None = None) -> tuple[list[Any], int | None]:
        """One page, newest first, open ones too; and how many pages there are, where that is said."""
        query = {"page": str(page), "limit": str(limit), "sortBy": "createdAt", "sortOrder": "desc"}
        status, said = self._ask("GET", "/v1/orders", params={**query, "includePending": "true"}, timeout=timeout)
        items = said.get("items") if isinstance(said, dict) else None
        if status >= 300 or not isinstance(items, list):
            raise self.unusable("GET", "it shows no list of orders")
        meta = said.get("meta")
        pages = meta.get("pagesCount") if isinstance(meta, dict) else None
        return items, pages if isinstance(pages, int) else None

    def post(self, path: str, body: Mapping[str, Any], secrets: tuple[str, ...] = ()) -> tuple[int, Any]:
        """`secrets`: what must not be in a log when Zaprite repeats it."""
        return self._ask("POST", path, json=body, secrets=secrets)

    def _document(self, folder: str, key: str) -> Any | None:
        if id_like(key) is None:
            return None  # it would lead to another path
        status, said = self._ask("GET", f"{folder}/{quote(key, safe='')}")
        if status == 404:
            return None
        if status >= 300:
            raise self.unusable("GET", f"it answered {status}")
        if not isinstance(said, dict):
            raise self.unusable("GET", "its answer is not what was asked for")
        return said

    def _ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        if reason := self.off():
            raise RailUnavailable(reason)
        status, said = self._http.ask(method, path, **more)
        if status in {401, 403}:
            raise RailUnavailable(f"Zaprite does not accept the key; the operator must renew {self._where}.api_key")
        return status, said
