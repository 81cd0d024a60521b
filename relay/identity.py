"""The ids callers choose: users, installs, jobs."""

from __future__ import annotations

import re

from relay.errors import BadIdentity

_ID = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


def check_id(value: str, what: str) -> str:
    """`value`, or BadIdentity naming `what` when it is not an id."""
    if _ID.fullmatch(value) is None or value in {".", ".."}:
        raise BadIdentity(f"{what} must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ - and not '.' or '..'")
    return value


_JOB_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def check_job_id(value: str) -> bool:
    """Whether a caller may name a job so."""
    return _JOB_ID.fullmatch(value) is not None and value not in {".", ".."}
