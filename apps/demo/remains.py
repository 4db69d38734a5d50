"""What a demonstration that is over must not leave behind."""

from __future__ import annotations

import os
from pathlib import Path

from apps.demo.expectations import Expectation
from apps.ops import hub

PROCESSES = Path("/proc")


def family(directory: Path) -> set[int]:
    """The processes that were started for the hub in `directory`, this one apart; none where there is no /proc."""
    mark = f"AGENTCOM_DATA_DIR={directory}\0"
    found = {int(entry.name) for entry in PROCESSES.glob("[0-9]*") if mark in _environment(entry)}
    return found - {os.getpid()}


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
