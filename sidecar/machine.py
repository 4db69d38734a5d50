"""Facts of this machine for the hub's pages, and the clock by which leases are counted here."""

from __future__ import annotations

import os
import platform
import socket
import time

from sidecar.wire.nouns import Host


def host() -> Host:
    """What the hub shows of this machine."""
    return Host(
        hostname=socket.gethostname()[:200],
        system=f"{platform.system()} {platform.release()} {platform.machine()}"[:200],
        cpus=_cpus(),
        memory_bytes=_memory(),
    )


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def clock() -> float:
    """Seconds that never jump and go on while the machine sleeps, for a lease does not stop for a closed lid."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
