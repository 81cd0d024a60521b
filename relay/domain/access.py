"""Who may do what in the admin API: roles, and the `<resource>:<read|write>` scopes they grant."""

from __future__ import annotations

RESOURCES = (
    "audit",
    "callbacks",
    "codes",
    "config",
    "credits",
    "jobs",
    "keys",
    "licences",
    "meetings",
    "metrics",
    "outputs",
    "packages",
    "payments",
    "plugins",
    "quotas",
    "rails",
    "settings",
    "usage",
)
SENSITIVE = frozenset({"outputs", "meetings", "keys"})
"""What a read-only key does not read: callers' recordings in words, and the keys themselves."""
MASTER = "master"
"""Stands for "the password session only", whatever the role of a key."""

READS = frozenset(f"{name}:read" for name in RESOURCES if name not in SENSITIVE)
WRITES = frozenset(f"{name}:write" for name in RESOURCES)

ROLES: dict[str, frozenset[str]] = {
    "read-only": READS,
    "support": READS | {"credits:write", "payments:write", "jobs:write"},
    "merchant-onboard": READS | {"packages:write", "codes:write"},
    "license-issuer": READS | {"licences:write"},
    "full-admin": READS | {f"{name}:read" for name in SENSITIVE} | WRITES,
}
