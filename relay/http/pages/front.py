"""`/`: what this relay offers, what it costs and how to call it. Plain HTML, made from the settings of the moment."""

from __future__ import annotations

from functools import lru_cache

import falcon

from relay import __version__
from relay.http.pages.assets import ASK, Assets, Page
from relay.http.pages.examples import examples
from relay.http.pages.markup import Markup, listing, table, tag
from relay.http.relay.public import FORMATS, RULES
from relay.ports.inference import TASKS
from relay.services.core import Core
from relay.services.policy import tier_of
from relay.settings import Settings

TASK_WORDS = {
    "transcribe": "speech becomes text, with times",
    "analyze": "questions about a text, summaries, structured data",
    "diarize": "who spoke when",
}
WHO = {
    "install_id": "an app with an installation id of its own making (X-Recap-Install-Id)",
    "keysat": "an app with a licence (Authorization: LIC1-…)",
    "api_key": "a program with a key (Authorization: Bearer rk_…)",
    "operator_key": "the operator's own server, for its users (X-Recap-Operator-Key and X-Recap-User-Id)",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="What this relay offers, what it costs, how to call it.">
<title>Relay</title>
<link rel="icon" href="{base}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{base}/css/base.css">
<link rel="stylesheet" href="{base}/css/front.css">
</head>
<body>
<main class="front">
{content}
</main>
</body>
</html>
"""


class FrontPage:
    def __init__(self, core: Core, assets: Assets) -> None:
        self._core = core
        self._assets = assets

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        content = "\n".join(_sections(self._core))
        _page(PAGE.format(base=self._assets.base, content=content)).send(req, resp, ASK)

    on_head = on_get


@lru_cache(4)
def _page(html: str) -> Page:
    """Packed once as long as nothing on it changes."""
    return Page.of(html.encode(), "text/html; charset=utf-8")


def _sections(core: Core) -> list[Markup]:
    settings = core.settings.now
    auth = [strategy.name for strategy in core.registry.auth]
    code = examples(settings.relay.public_url, auth)
    return [
        tag(
            "header",
            tag("h1", "Relay"),
            tag(
                "p",
                "A gateway in front of AI inference that counts in credits. One credit pays for one job.",
                class_="lead",
            ),
            _links(),
        ),
        _section("What it does", _offer(core), tag("p", f"Recordings: {', '.join(FORMATS)}."), _backends(core)),
        _section("What it costs", *_prices(core, settings)),
        _section("Who may call", listing((WHO.get(name, name) for name in auth), "Nobody: no auth plugin is enabled.")),
        _section("How to call it", *(_example(name, text) for name, text in code.items()), _openai(settings)),
        tag("footer", tag("p", f"Relay {__version__} · ", tag("a", "Dashboard for the operator", href="/dashboard"))),
    ]


def _section(title: str, *content: str) -> Markup:
    return tag("section", tag("h2", title), *content)


def _links() -> Markup:
    links = [
        ("API document", "/relay/openapi.json"),
        ("Prices and rules", "/relay/policy"),
        ("Capabilities", "/relay/capabilities"),
        ("Health", "/relay/health"),
    ]
    return tag("nav", *(tag("a", text, href=href) for text, href in links), **{"aria-label": "Documents"})


def _offer(core: Core) -> Markup:
    can = [task for task in TASKS if any(task in backend.tasks for backend in core.registry.routes[task])]
    return listing((f"{task}: {TASK_WORDS[task]}" for task in can), "Nothing: no backend is enabled.")


def _backends(core: Core) -> Markup:
    names = sorted(core.registry.backends)
    return tag("p", f"Answered by: {', '.join(names) or 'nobody'}.")


def _prices(core: Core, settings: Settings) -> list[Markup]:
    tiers = [_tier(name, settings) for name in settings.tiers]
    sellers = core.till.checkout.sellers
    packages = [
        (
            item.id,
            str(item.credits),
            f"{item.price} {item.currency}",
            ", ".join(sellers(item.currency)) or "not sold now",
        )
        for item in settings.packages
    ]
    rails = sorted(rail.name for rail in core.registry.rails.values() if rail.off() is None)
    return [
        table(("Tier", "Credits", "Of them with Gemini", "Price"), tiers),
        table(("Package", "Credits", "Price", "Paid with"), packages)
        if packages
        else tag("p", "No credit packages are on sale.", class_="muted"),
        tag("p", f"Paid with: {', '.join(rails)}.")
        if rails
        else tag("p", "Nothing can be bought here.", class_="muted"),
        tag("details", tag("summary", "Rules of charging"), listing(RULES.values(), "")),
    ]


def _tier(name: str, settings: Settings) -> tuple[str, str, str, str]:
    given, tier = settings.tiers[name], tier_of(name, settings.tiers[name])
    often = "once" if tier.counts == "lifetime" else f"every {tier.period_days} days"
    price = "free" if given.price is None else f"{given.price} {given.currency} for {given.period_days} days"
    return name, _count(tier.credits, often), _count(tier.gemini, often), price


def _count(limit: int | None, often: str) -> str:
    return "unlimited" if limit is None else f"{limit} {often}"


def _example(language: str, code: str) -> Markup:
    return tag("figure", tag("figcaption", language), tag("pre", tag("code", code), tabindex="0"))


def _openai(settings: Settings) -> Markup:
    base = f"{settings.relay.public_url.rstrip('/')}/relay/v1"
    return tag("p", "The unmodified OpenAI clients work too: their base URL is ", tag("code", base), ".")
