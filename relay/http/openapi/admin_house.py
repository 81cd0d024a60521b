"""placeholder"""

from __future__ import annotations

from relay.http.openapi.operation import Operations

OPERATIONS: Operations = {}
