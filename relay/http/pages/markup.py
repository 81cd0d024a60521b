"""HTML in which every text is text: what is not already `Markup` is escaped, however it got here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML and stays as it is."""

    __slots__ = ()


def safe(value: str) -> str:
    return value if isinstance(value, Markup) else escape(value)


def tag(name: str, *content: str, **attributes: str) -> Markup:
    """`tag("a", "docs", href="/x")`. A trailing underscore in a name goes: `class_`."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{given}>{''.join(map(safe, content))}</{name}>")


def listing(items: Iterable[str], none: str) -> Markup:
    """The items, or in words that there is none."""
    rows = [tag("li", item) for item in items]
    return tag("ul", *rows) if rows else tag("p", none, class_="muted")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    head = tag("tr", *(tag("th", text, scope="col") for text in heads))
    body = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    return tag(
        "div",
        tag("table", tag("thead", head), tag("tbody", *body)),
        class_="wide",
        tabindex="0",
        role="region",
        **{"aria-label": heads[0]},
    )
