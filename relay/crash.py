"""Named points where a test can kill the process, to prove what a power cut leaves behind.

Off unless RELAY_CRASH_POINT is set, which only the crash tests do: then the named point kills the
process with SIGKILL the Nth time it is reached ("settled:3"; 1 without a number).
"""

from __future__ import annotations

import os
import signal
import threading

_name, _, _count = os.environ.get("RELAY_CRASH_POINT", "").partition(":")
_left = int(_count or 1)
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """A point between two steps that must survive a kill. Costs one comparison in production."""
    if name != _name:
        return
    global _left
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
