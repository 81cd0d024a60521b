"""What each admin route asks of a scoped key: one table, and a route that is not in it is for the master alone."""

from __future__ import annotations

from relay.domain.access import MASTER

SCOPES: dict[tuple[str, str], str] = {
    ("GET", "/metrics"): "metrics:read",
    # Overview and figures
    ("GET", "/admin/dashboard"): "usage:read",
    ("GET", "/admin/dashboard.csv"): "usage:read",
    ("GET", "/admin/usage"): "usage:read",
    ("GET", "/admin/hardware-queue"): "usage:read",
    ("GET", "/admin/books"): "credits:read",
    ("POST", "/admin/books/verify"): "credits:write",
    # Accounts
    ("GET", "/admin/credits"): "credits:read",
    ("POST", "/admin/credits/grant"): "credits:write",
    ("GET", "/admin/credits/{key}"): "credits:read",
    ("GET", "/admin/credits/{key}/history"): "credits:read",
    ("POST", "/admin/credits/{key}/debit"): "credits:write",
    ("POST", "/admin/credits/{key}/tier"): "credits:write",
    ("POST", "/admin/credits/{key}/block"): "credits:write",
    ("POST", "/admin/credits/{key}/unblock"): "credits:write",
    ("POST", "/admin/credits/{key}/move"): "credits:write",
    ("POST", "/admin/credits/{key}/erase"): "credits:write",
    # Jobs and what they answered
    ("GET", "/admin/jobs"): "jobs:read",
    ("GET", "/admin/jobs-history"): "jobs:read",
    ("GET", "/admin/job/{job}/details"): "jobs:read",
    ("POST", "/admin/job/{job}/cancel"): "jobs:write",
    ("POST", "/admin/job/{job}/refund"): "jobs:write",
    ("GET", "/admin/job-output/{job}"): "outputs:read",
    ("GET", "/admin/output-store-stats"): "jobs:read",
    ("GET", "/admin/output-store-ids"): "jobs:read",
    ("DELETE", "/admin/job-outputs"): "outputs:write",
    ("POST", "/admin/test-run"): "jobs:write",
    ("POST", "/admin/test-run-suite"): "jobs:write",
    # Money
    ("GET", "/admin/payments"): "payments:read",
    ("GET", "/admin/payments/inbox"): "payments:read",
    ("GET", "/admin/payments/{order}"): "payments:read",
    ("POST", "/admin/payments/{order}/recheck"): "payments:write",
    ("POST", "/admin/payments/{order}/credit"): "payments:write",
    ("POST", "/admin/payments/{order}/reverse"): "payments:write",
    ("POST", "/admin/payments/{order}/dismiss"): "payments:write",
    ("POST", "/admin/reconcile"): "payments:write",
    ("POST", "/admin/{rail}/rescan"): "payments:write",
    ("GET", "/admin/{rail}/connect"): "rails:read",
    ("POST", "/admin/{rail}/connect"): MASTER,
    ("POST", "/admin/{rail}/choose"): MASTER,
    ("POST", "/admin/{rail}/disconnect"): MASTER,
    ("GET", "/admin/packages"): "packages:read",
    ("POST", "/admin/packages"): "packages:write",
    ("PUT", "/admin/packages/{package}"): "packages:write",
    ("DELETE", "/admin/packages/{package}"): "packages:write",
    ("GET", "/admin/codes"): "codes:read",
    ("POST", "/admin/codes"): "codes:write",
    ("PATCH", "/admin/codes/{code}"): "codes:write",
    ("DELETE", "/admin/codes/{code}"): "codes:write",
    ("GET", "/admin/license-cache"): "licences:read",
    ("DELETE", "/admin/license-cache"): "licences:write",
    ("GET", "/admin/callbacks"): "callbacks:read",
    ("POST", "/admin/callbacks/{delivery}/retry"): "callbacks:write",
    ("DELETE", "/admin/callbacks/{delivery}"): "callbacks:write",
    # The house
    ("GET", "/admin/config"): "config:read",
    ("GET", "/admin/plugins"): "plugins:read",
    ("GET", "/admin/settings"): "settings:read",
    ("PUT", "/admin/settings"): MASTER,
    ("GET", "/admin/settings/history"): "settings:read",
    ("POST", "/admin/settings/promote-prompt"): MASTER,
    ("POST", "/admin/quotas"): "quotas:write",
    ("GET", "/admin/audit"): "audit:read",
    ("GET", "/admin/keys"): MASTER,
    ("POST", "/admin/keys"): MASTER,
    ("DELETE", "/admin/keys/{key}"): MASTER,
    ("GET", "/admin/sessions"): MASTER,
    ("DELETE", "/admin/sessions/{session}"): MASTER,
    ("POST", "/admin/logout"): MASTER,
    ("POST", "/admin/password"): MASTER,
    ("POST", "/admin/wipe-all"): MASTER,
    # Internal meetings
    ("GET", "/admin/internal-meetings"): "meetings:read",
    ("POST", "/admin/internal-meetings"): "meetings:write",
}
"""(method, route) -> scope. HEAD asks what GET asks; OPTIONS asks for nothing but an identity."""


def needed(method: str, template: str | None) -> str:
    """The scope of a route, MASTER for one that is not in the table."""
    method = "GET" if method == "HEAD" else method
    if template is not None and template.startswith("/admin/internal-meetings"):
        return "meetings:read" if method == "GET" else "meetings:write"
    return SCOPES.get((method, template or ""), MASTER)
