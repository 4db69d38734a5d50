"""This web process, known by a lock that the kernel releases when it dies, whatever it dies of."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from functools import cache
from pathlib import Path

from django.conf import settings

SUFFIX = ".lock"


class Process:
    """A process with a name of its own, alive for as long as it holds its lock in `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = uuid.uuid4().hex
        self._directory = directory
        draft = directory / f"{self.name}.new"
        self._lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(directory / f"{self.name}{SUFFIX}")  # nobody sees it unlocked

    def dead(self) -> list[str]:
        """Names of the processes of this data directory that have ended since anybody asked."""
        return [file.stem for file in self._directory.glob(f"*{SUFFIX}") if file.stem != self.name and _ended(file)]

    def buried(self, name: str) -> None:
        """What it left has been seen to."""
        (self._directory / f"{name}{SUFFIX}").unlink(missing_ok=True)


def _ended(file: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # another process has buried it
        lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True
    return False


@cache
def this() -> Process:
    """The process we are."""
    return Process(settings.DATA_DIR / "web")
