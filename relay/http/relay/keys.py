"""`/relay/keys`: a caller makes, lists, rotates and deletes keys for its apps."""

from __future__ import annotations

from typing import Annotated, Any

import falcon
from msgspec import Meta, Struct

from relay.domain.instants import iso
from relay.errors import NotFound, boundary
from relay.http.answers import answer
from relay.http.body import read_json
from relay.http.callers import Callers
from relay.http.sealed import once_sealed
from relay.ports.auth import CallerKey, KeyIssuer
from relay.services.core import Core

MAX_GRACE_HOURS = 720


class LabelBody(Struct):
    label: Annotated[str, Meta(max_length=100)] = ""


class RotateBody(Struct):
    """`grace_hours`: how long the old value goes on working beside the new one."""

    grace_hours: Annotated[float, Meta(ge=0, le=MAX_GRACE_HOURS)] = 0


class Keys:
    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers
        self._found = next((each for each in core.registry.auth if isinstance(each, KeyIssuer)), None)

    @property
    def _issuer(self) -> KeyIssuer:
        if self._found is None:
            raise NotFound("this relay issues no keys; its operator can enable them with [plugins.api_key]")
        return self._found

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        issuer, body = self._issuer, read_json(req, LabelBody)
        self._core.account_admin.refuse_blocked(identity.account)
        with (
            self._callers.one_call(req, identity),
            once_sealed(self._core, req, resp, identity) as replayed,
        ):
            if not replayed:
                with boundary("the key issuer"):
                    key, secret = issuer.mint(identity, body.label.strip())
                answer(resp, {"ok": True, "id": key.id, "key": secret, "label": key.label}, 201)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        identity = self._callers.identify(req)
        with boundary("the key issuer"):
            keys = self._issuer.keys(identity)
        answer(resp, {"ok": True, "keys": [view(key) for key in keys]})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, key_id: str) -> None:
        identity = self._callers.identify(req)
        with boundary("the key issuer"):
            self._issuer.revoke(identity, key_id)
        answer(resp, {"ok": True, "id": key_id})

    def on_post_rotate(self, req: falcon.Request, resp: falcon.Response, key_id: str) -> None:
        identity = self._callers.identify(req)
        issuer, body = self._issuer, read_json(req, RotateBody)
        with once_sealed(self._core, req, resp, identity) as replayed:
            if not replayed:
                with boundary("the key issuer"):
                    key, secret = issuer.rotate(identity, key_id, body.grace_hours)
                until = iso(key.previous_until)
                answer(resp, {"ok": True, "id": key.id, "key": secret, "label": key.label, "previous_until": until})


def view(key: CallerKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "label": key.label,
        "created_at": iso(key.created_at),
        "rotated_at": iso(key.rotated_at),
        "last_used_at": iso(key.last_used_at),
        "previous_until": iso(key.previous_until),
    }
