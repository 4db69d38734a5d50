"""The mode that the hub wants, on disk beside the lock, so that `status` can show it from another process."""

from __future__ import annotations

from pathlib import Path

from sidecar import atomic
from sidecar.effects import Mode

FILE = "mode"


def write(root: Path, mode: Mode) -> None:
    """Show it; only the process that holds the root may. Raises OSError."""
    atomic.write(root / FILE, mode.value.encode())


def read(root: Path) -> Mode:
    """What the process that runs on `root` showed last; normal when it showed nothing that can be read."""
    try:
        return Mode((root / FILE).read_text())
    except (OSError, ValueError):
        return Mode.NORMAL
