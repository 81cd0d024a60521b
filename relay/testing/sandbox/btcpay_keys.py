"""BTCPay's API keys, their permissions, and the page on which a person grants them to an application."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from relay.testing.sandbox.service import Reply

STORE = "btcpay.store."
CREATE = f"{STORE}cancreateinvoice"
VIEW = f"{STORE}canviewinvoices"
MODIFY = f"{STORE}canmodifyinvoices"
WEBHOOKS = f"{STORE}webhooks.canmodifywebhooks"
SETTINGS = f"{STORE}canviewstoresettings"
MODIFY_SETTINGS = f"{STORE}canmodifystoresettings"
REFUND = f"{STORE}cancreatenonapprovedpullpayments"
ALL = "unrestricted"

IMPLIED: dict[str, tuple[str, ...]] = {
    ALL: (MODIFY_SETTINGS,),
    MODIFY_SETTINGS: (WEBHOOKS, MODIFY, SETTINGS, f"{STORE}canmanagepullpayments"),
    MODIFY: (VIEW, CREATE),
    SETTINGS: (VIEW,),
    f"{STORE}canmanagepullpayments": (f"{STORE}cancreatepullpayments",),
    f"{STORE}cancreatepullpayments": (REFUND,),
}
KNOWN = frozenset(IMPLIED) | {CREATE, VIEW, WEBHOOKS, REFUND}


@dataclass(frozen=True, slots=True)
class Key:
    """`permissions`: as granted, each `permission` or `permission:store`."""

    key: str
    permissions: tuple[str, ...]
    label: str = "sandbox"

    def allows(self, permission: str, store: str | None) -> bool:
        """`store` None: for at least one store."""
        for granted in self.permissions:
            name, _, only = granted.partition(":")
            if permission in closure(name) and (store is None or only in ("", store)):
                return True
        return False


def closure(permission: str) -> set[str]:
    """The permission and all it implies."""
    found = {permission}
    for implied in IMPLIED.get(permission, ()):
        found |= closure(implied)
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """What an application asks for on `/api-keys/authorize`."""

    permissions: tuple[str, ...]
    redirect: str
    name: str
    selective: bool

    def granted(self, stores: Sequence[str] | None) -> tuple[str, ...]:
        """`stores` None: for all. BTCPay drops what it does not know without a word."""
        known = [permission for permission in self.permissions if permission.partition(":")[0] in KNOWN]
        if not self.selective or stores is None:
            return tuple(known)
        return tuple(f"{p}:{store}" if p.startswith(STORE) else p for p in known for store in stores)


def asked_for(query_string: str) -> Asked:
    """Read the query of the page; `permissions` may be repeated."""
    query = parse_qs(query_string, keep_blank_values=True)

    def last(name: str) -> str:
        return query.get(name, [""])[-1]

    permissions = tuple(dict.fromkeys(query.get("permissions", [])))
    return Asked(permissions, last("redirect"), last("applicationName"), last("selectiveStores").lower() == "true")


def callback_fields(key: Key, user: str) -> list[tuple[str, str]]:
    """What the browser posts to the application after consent."""
    granted = [("permissions", permission) for permission in key.permissions]
    return [("apiKey", key.key), ("userId", user), *granted, ("__RequestVerificationToken", "CfDJ8sandbox")]


def page(title: str, body: str) -> Reply:
    head = f'<!doctype html><html><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>'
    text = f"{head}<body>{body}</body></html>"
    return Reply(200, text.encode(), {"content-type": "text/html; charset=utf-8"})


def consent_page(asked: Asked, stores: Sequence[tuple[str, str]], action: str) -> Reply:
    """Asks the person; its button posts to `action`."""
    wanted = "".join(f"<li>{html.escape(permission)}</li>" for permission in asked.permissions)
    boxes = ""
    if asked.selective:
        boxes = "".join(
            f'<p><label><input type="checkbox" name="store" value="{html.escape(ident)}" checked>'
            f" {html.escape(name)}</label></p>"
            for ident, name in stores
        )
    return page(
        "Authorize",
        f"<h1>{html.escape(asked.name or 'An application')} asks for</h1><ul>{wanted}</ul>"
        f'<form method="post" action="{html.escape(action)}">{boxes}<button>Authorize</button></form>',
    )


def submitting_page(redirect: str, fields: Sequence[tuple[str, str]]) -> Reply:
    """A form that sends itself to the application, as BTCPay answers consent."""
    inputs = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">' for name, value in fields
    )
    return page(
        "Redirecting",
        f'<form id="f" method="post" action="{html.escape(redirect)}">{inputs}<noscript><button>Continue</button>'
        '</noscript></form><script>document.getElementById("f").submit()</script>',
    )
