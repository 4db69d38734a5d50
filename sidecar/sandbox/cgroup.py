"""Limits for a whole family of processes, where the kernel lets us set them: control groups, version 1 or 2.

rlimits count per process or per user; only a control group caps what one command and all its children take together.
Whether we may make one depends on the machine (root, a delegated systemd unit, a container), so it is tried for real.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sidecar.sandbox.policy import Limits

_REMOVE_WITHIN_SECONDS = 1.0


@dataclass(frozen=True)
class _Base:
    """A directory below which groups may be made, and what each group there limits."""

    path: Path
    controllers: tuple[str, ...]
    version: int


@dataclass(frozen=True)
class Group:
    """The group of one command: one directory for each hierarchy it is in."""

    directories: tuple[Path, ...]

    @property
    def doors(self) -> list[str]:
        """The files a process writes 0 to in order to join."""
        return [str(directory / "cgroup.procs") for directory in self.directories]


def enforced() -> tuple[str, ...]:
    """Which limits a group really holds on this machine, of `memory` and `processes`."""
    held = {controller for base in _bases() for controller in base.controllers}
    return tuple(name for name, controller in (("memory", "memory"), ("processes", "pids")) if controller in held)


@contextlib.contextmanager
def group(limits: Limits) -> Iterator[Group]:
    """A group for one command, gone afterwards; empty where none can be made."""
    name = f"agentcom-{os.getpid()}-{secrets.token_hex(4)}"
    made: list[Path] = []
    try:
        for base in _bases():
            with contextlib.suppress(OSError):  # another process may have taken the controller away since we looked
                made.append(_make(base, name, limits))
        yield Group(tuple(made))
    finally:
        for directory in made:
            _remove(directory)


def _make(base: _Base, name: str, limits: Limits) -> Path:
    directory = base.path / name
    directory.mkdir()
    try:
        for file, value in _settings(base, limits):
            (directory / file).write_text(value)
    except OSError:
        directory.rmdir()
        raise
    return directory


def _settings(base: _Base, limits: Limits) -> Iterator[tuple[str, str]]:
    if "memory" in base.controllers:
        yield ("memory.max" if base.version == 2 else "memory.limit_in_bytes"), str(limits.memory_bytes)
        if base.version == 2 and (base.path / "memory.swap.max").exists():
            yield "memory.swap.max", "0"
    if "pids" in base.controllers:
        yield "pids.max", str(limits.processes)


def _remove(directory: Path) -> None:
    """The kernel frees a group a moment after its last process; look again until it does."""
    deadline = time.monotonic() + _REMOVE_WITHIN_SECONDS
    while True:
        try:
            return directory.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.002)


@cache
def _bases() -> tuple[_Base, ...]:
    found: dict[str, _Base] = {}
    for candidate in _candidates():
        wanted = tuple(name for name in candidate.controllers if name not in found)
        if wanted and _works(base := _Base(candidate.path, wanted, candidate.version)):
            _sweep(base.path)
            found.update(dict.fromkeys(wanted, base))
    return tuple(dict.fromkeys(found.values()))


def _sweep(path: Path) -> None:
    """Remove the empty groups of sidecars that were killed; one that still holds processes stays."""
    for left in path.glob("agentcom-*-*"):
        pid = left.name.split("-")[1]
        if not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):  # it is not empty, or somebody else was faster
                left.rmdir()


def _candidates() -> Iterator[_Base]:
    """Own groups first, then their parents: version 2 forbids groups below one that holds processes."""
    with contextlib.suppress(OSError):  # not Linux, or no /proc: then there are no groups
        own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        for _, names, at in own:
            version = 1 if names else 2
            mount = _mount_of(version, names)
            if mount is None:
                continue
            here = mount / at.lstrip("/")
            for path in (here, here.parent) if here != mount else (here,):
                yield _Base(path, _offered(path, version, names), version)


def _offered(path: Path, version: int, names: str) -> tuple[str, ...]:
    if version == 1:
        return tuple(name for name in ("memory", "pids") if name in names.split(","))
    try:
        passed_on = (path / "cgroup.subtree_control").read_text().split()
    except OSError:
        return ()
    return tuple(name for name in ("memory", "pids") if name in passed_on)


def _mount_of(version: int, names: str) -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        fits = (
            kind == "cgroup2" if version == 2 else kind == "cgroup" and set(names.split(",")) <= set(options.split(","))
        )
        if fits:
            return Path(before.split()[4])
    return None


def _works(base: _Base) -> bool:
    try:
        directory = _make(base, f"agentcom-{os.getpid()}-trial-{secrets.token_hex(4)}", Limits())
    except OSError:
        return False
    _remove(directory)
    return True
