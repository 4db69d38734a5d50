"""What a demonstration that is over must not leave behind."""

from __future__ import annotations

import os
from pathlib import Path

from apps.demo.expectations import Expectation
from apps.demo.ground import Ground
from apps.ops import hub

PROCESSES = Path("/proc")


def family(directory: Path) -> set[int]:
    """The processes of the hub in `directory` and of its machines, this one apart; none where there is no /proc."""
    mark = f"AGENTCOM_DATA_DIR={directory}\0"
    entries = list(PROCESSES.glob("[0-9]*"))
    found = {int(entry.name) for entry in entries if mark in _environment(entry) or _works_in(entry, directory)}
    return found - {os.getpid()}


def _works_in(process: Path, directory: Path) -> bool:
    """Whether it is a command of a task; what runs in a sandbox has nothing of us in its environment."""
    try:
        return (process / "cwd").readlink().is_relative_to(Ground(directory).machines)
    except OSError:  # as below
        return False


def _environment(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace") + "\0"
    except OSError:  # it ended meanwhile, or is another user's
        return ""


def judge(directory: Path, port: int) -> list[Expectation]:
    """Whether everything is gone."""
    left = family(directory)
    listening = "" if hub.is_free("127.0.0.1", port) else f"something still listens on port {port}"
    sockets = [str(path) for path in directory.rglob("*") if path.is_socket()]
    return [
        Expectation("no process is left", not left, f"still there: {sorted(left)}"),
        Expectation("no port and no socket is left", not listening and not sockets, f"{listening} {sockets}"),
    ]
