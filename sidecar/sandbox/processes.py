"""Who descends from whom on this machine, and how to end a whole family that does not want to go."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

_PROC = Path("/proc")


def parents() -> dict[int, int]:
    """Every live process and its parent; zombies are left out, for they cannot be killed again."""
    if sys.platform != "linux":
        return _parents_by_ps()
    found = {}
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                # The name in the second field may hold spaces and brackets: read from the last one.
                state, parent = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()[:2]
                if state not in {b"Z", b"X"}:
                    found[int(entry.name)] = int(parent)
    return found


def _parents_by_ps() -> dict[int, int]:
    import subprocess  # here, because the supervisor of a command imports this file and must start fast

    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listing.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def descendants(root: int) -> list[int]:
    """All live processes below `root`, nearest first, whatever session or group they put themselves in."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    wave = [root]
    while wave:
        wave = [child for parent in wave for child in children.get(parent, [])]
        found += wave
    return found


def marked(marker: str) -> list[int]:
    """Live processes whose environment holds `marker` (a `NAME=value`); only Linux shows that."""
    if sys.platform != "linux":
        return []
    wanted = marker.encode()
    found = []
    for pid in parents():
        with contextlib.suppress(OSError):  # it ended, or it is somebody else's
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def waiting_for_nobody(place: Path) -> list[int]:
    """Processes of bubblewrap that were to work below `place`, by their directory; only Linux shows that.

    Killed in the moment in which it starts, bubblewrap leaves a process that has run nothing yet and waits for ever.
    """
    if sys.platform != "linux":
        return []
    found = []
    for pid in parents():
        with contextlib.suppress(OSError):  # it ended, or it is somebody else's
            program = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
            if program.endswith(b"bwrap") and Path(f"/proc/{pid}/cwd").readlink().is_relative_to(place.resolve()):
                found.append(pid)
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    """Signal each; one that has gone meanwhile, or is not ours, is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or it changed its user
            os.kill(pid, number)
