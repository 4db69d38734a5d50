"""Facts of this machine for the hub, and the clock by which leases are counted here."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import time
import uuid
from pathlib import Path

from sidecar.wire.nouns import Host

MACHINE_ID = Path("/etc/machine-id")


def host() -> Host:
    """What the hub shows of this machine."""
    return Host(
        machine=machine(),
        hostname=socket.gethostname()[:200],
        system=f"{platform.system()} {platform.release()} {platform.machine()}"[:200],
        cpus=_cpus(),
        memory_bytes=_memory(),
    )


def machine(machine_id: Path = MACHINE_ID) -> str:
    """The same for every agent of this machine, and for no other: a digest, for a machine's id is to be told to nobody.

    Its name counts too, for machines made of one image often share their id. A system without such an id is told by its
    network address and name.
    """
    try:
        identity = machine_id.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        identity = ""
    identity = identity or f"{uuid.getnode():x}"
    named = f"agentcom.{identity}.{socket.gethostname()}"
    return hashlib.sha256(named.encode(errors="surrogateescape")).hexdigest()[:32]


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
