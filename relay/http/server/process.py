"""What the server asks of the operating system for its process."""

from __future__ import annotations

import os
import resource


def pin_to_one_cpu() -> int | None:
    """Keep this process on one of the cpus it may use, and return which.

    Threads that hand the GIL back and forth between cpus cost waitress 35-75 % of its throughput. Call
    it before any thread starts: only threads started later inherit it. None: nothing to choose, or the
    system cannot do it.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) == 1:
        return None
    # Workers started one after another have neighbouring pids, so they spread over the cpus.
    cpu = allowed[os.getpid() % len(allowed)]
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return None
    return cpu


def allow_open_files(wanted: int) -> int:
    """Raise the soft limit of open files towards `wanted`, and return what it is now.

    A usual limit of 1024 would end accepting long before 2000 connections are open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
