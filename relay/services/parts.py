"""The parts of a message's content that are not text: pictures, sound, files."""

from __future__ import annotations

import re
from typing import Any

from relay.errors import UrlNotAllowed

TEXT = frozenset({"text", "refusal"})
URL = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def check_urls(content: Any, path: str) -> None:
    """Raises UrlNotAllowed for a part that names what it is by any URL but a `data:` one.

    The server that answers would open such a URL itself, from inside the operator's network. The relay cannot
    look for it: what a name leads to may be another address a moment later.
    """
    if not isinstance(content, list):
        return
    for n, part in enumerate(content):
        if _has_url(part):
            where = f"{path}.{n}"
            raise UrlNotAllowed(
                f"{where}: send a data: URL, with the content in it; this relay lets no server open another one",
                details={"path": where},
            )


def _has_url(part: Any) -> bool:
    found = [("", part)]
    while found:
        name, value = found.pop()
        if isinstance(value, dict):
            found += value.items()
        elif isinstance(value, list):
            found += ((name, inner) for inner in value)
        elif isinstance(value, str) and name not in TEXT and _is_fetched(name, value):
            return True
    return False


def _is_fetched(name: str, value: str) -> bool:
    return value[:5].lower() != "data:" and (name.lower().endswith("url") or URL.match(value) is not None)
