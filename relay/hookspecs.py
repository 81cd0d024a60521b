"""What a plugin may offer. Hooks run once, at startup; requests then call the objects they returned."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from relay.ports.auth import AuthStrategy
from relay.ports.inference import InferenceBackend
from relay.ports.rails import Rail
from relay.ports.space import Space
from relay.ports.storage import Storage

PROJECT = "relay"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class RelaySpecs:
    """Every hook. All share the same rules:

    When:    once, at startup, before the port opens. Never per request.
    Raising: stops the start; the operator reads your plugin's name and your message.
    Do not:  touch the network. The relay must start while your service is down.
    """

    @hookspec
    def relay_storages(self) -> Sequence[Storage]:  # type: ignore[empty-body]
        """Offer a storage. Return a list; exactly one storage may be enabled."""

    @hookspec
    def relay_auth_strategies(self) -> Sequence[AuthStrategy]:  # type: ignore[empty-body]
        """Offer ways to recognise a caller. Return a list; each `name` is unique over all plugins."""

    @hookspec
    def relay_inference_backends(self) -> Sequence[InferenceBackend]:  # type: ignore[empty-body]
        """Offer inference backends. Return a list; each `name` is unique over all plugins."""

    @hookspec
    def relay_rails(self) -> Sequence[Rail]:  # type: ignore[empty-body]
        """Offer payment rails. Return a list; each `name` is unique, and its webhooks come to `/relay/NAME/webhook`."""

    @hookspec
    def relay_attach(self, space: Space) -> None:
        """Take your private key-value space, once, after the storage has opened. Keep it and return nothing."""
