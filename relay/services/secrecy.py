"""What is shown of settings: never a secret, whatever its name and wherever it hides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from relay.tables import is_reference, resolve

DOTS = "••••"
SHORTEST = 4
"""Shorter texts are no secrets, and blotting them out would make everything unreadable."""
SECRET_KEY = re.compile(
    r"key|secret|pass|token|dsn|credential|auth|cookie|seed|mnemonic|macaroon|cert|private|headers?$|signature|salt",
    re.IGNORECASE,
)
"""Rather one too many: what is public can be read in the file."""
USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
QUERY = re.compile(r"(://[^?#\s]*)[?#]\S*")


def masked(value: Any, written: Any, key: str = "") -> Any:
    """`value` with dots for secrets. `written`: the same as it stands in the file, where a secret is a reference."""
    if is_reference(written):
        return reference(written)
    if isinstance(value, Mapping):
        inside = written if isinstance(written, Mapping) else {}
        hidden = bool(SECRET_KEY.search(key))
        return {str(name): masked(part, inside.get(name), key if hidden else str(name)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [masked(part, None, key) for part in value]
    if SECRET_KEY.search(key) and value not in (None, "") and not isinstance(value, bool):
        # A number may be a secret too, a PIN; limits in tokens are not.
        return value if isinstance(value, int | float) and "token" in key else DOTS
    return without_secrets(value)


def reference(written: Mapping[str, Any]) -> str:
    kind, name = next(iter(written.items()))
    return f"{DOTS} (set by {kind} {name})" if isinstance(name, str) else DOTS


def without_secrets(value: Any) -> Any:
    """Texts without what may be secret in a URL: user, password, query."""
    if isinstance(value, list | tuple):
        return [without_secrets(part) for part in value]
    if isinstance(value, Mapping):
        return {name: without_secrets(part) for name, part in value.items()}
    if not isinstance(value, str) or "://" not in value:
        return value
    return QUERY.sub(rf"\1?{DOTS}", USERINFO.sub(f"{DOTS}@", value))


def known_secrets(written: Any, key: str = "") -> frozenset[str]:
    """The secrets themselves, as the file has them or refers to them: to be blotted out of what others say."""
    if is_reference(written):
        found = resolve(written, key)[0]
        return frozenset([found.strip()]) if found and len(found.strip()) >= SHORTEST else frozenset()
    if isinstance(written, Mapping):
        parts = [known_secrets(part, key if SECRET_KEY.search(key) else str(name)) for name, part in written.items()]
        return frozenset().union(*parts)
    if isinstance(written, list):
        return frozenset().union(*(known_secrets(part, key) for part in written))
    secret = isinstance(written, str) and len(written) >= SHORTEST and SECRET_KEY.search(key)
    return frozenset([written]) if secret else frozenset()


def blotted(text: str, secrets: Iterable[str]) -> str:
    """What a plugin says of itself, at most 300 characters."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, DOTS)
    return str(without_secrets(text))[:300]
