"""The issuer's licence server, asked online (Keysat's public API)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from relay.api import Health, HTTPClient, PluginError
from relay_keysat.licence import Licence
from relay_keysat.pinned import PinnedKeys, read_pem
from relay_keysat.verdict import NoVerdict, Verdict, read_answer

CONNECT_SECONDS = 5.0
CALL_SECONDS = 10.0
HEALTH_SECONDS = 4.0
MAX_BYTES = 256 * 1024
KEY_PATHS = ("/v1/pubkey", "/v1/issuer/public-key")


class PublicKey(msgspec.Struct):
    public_key_pem: str


class LicenceServer:
    """Raises ValueError for a URL that cannot work. Nothing is contacted here."""

    def __init__(self, url: str) -> None:
        self._client = HTTPClient(url, connect_timeout=CONNECT_SECONDS, read_timeout=CALL_SECONDS, pool_size=4)

    def validate(self, licence: Licence, fingerprint: str | None, now: datetime) -> Verdict:
        """What it says of the licence at `now`. With a fingerprint it gives this relay one of the licence's seats.

        Raises NoVerdict: unreachable, too slow, any status but 200, or an answer that is none.
        """
        ask = {"key": licence.text}
        if fingerprint is not None:
            ask["fingerprint"] = fingerprint
        try:
            reply = self._client.post_json("/v1/validate", ask, max_bytes=MAX_BYTES)
        except PluginError as exc:
            raise NoVerdict(exc.code) from None
        if reply.status != 200:
            raise NoVerdict(f"it answered {reply.status}")
        return read_answer(reply.body, licence, now)

    def health(self, pinned: PinnedKeys) -> Health:
        """Whether it answers, and signs with a key that this relay trusts."""
        for path in KEY_PATHS:
            try:
                reply = self._client.request("GET", path, timeout=HEALTH_SECONDS / 2, max_bytes=MAX_BYTES)
            except PluginError as exc:
                return Health(ok=False, detail=f"the licence server gave no answer ({exc.code})")
            if reply.status != 404:
                break
        if reply.status != 200:
            return Health(ok=False, detail=f"the licence server answered {reply.status} when asked for its public key")
        try:
            key = read_pem(msgspec.json.decode(reply.body, type=PublicKey).public_key_pem)
        except (msgspec.DecodeError, ValueError):
            return Health(ok=False, detail="the licence server's answer holds no public key")
        if not pinned.trusts(key):
            return Health(
                ok=False, detail="the licence server's public key is not in public_keys: its licences are refused"
            )
        return Health(ok=True)
