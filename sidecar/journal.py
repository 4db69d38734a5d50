"""Work in hand and reports the hub has not settled, one file per attempt under `<root>/journal/`.

An entry goes from `accepted` to `running` to `reported`, and away when the hub has settled it. Files change by rename,
so a crash at any moment leaves whole ones; one that cannot be read is moved aside and told of, never in the way.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidecar import atomic
from sidecar.wire.messages import TaskAssign, TaskCompleted, TaskFailed, TaskReleased, Terminal

logger = structlog.get_logger(__name__)


class Entry(BaseModel):
    """What is known of one attempt. `assign` is missing for work that was refused at once, `report` until it ended."""

    model_config = ConfigDict(frozen=True)

    state: Literal["accepted", "running", "reported"]
    task: int
    attempt: int
    assign: TaskAssign | None = None
    report: Annotated[TaskCompleted | TaskFailed | TaskReleased, Field(discriminator="type")] | None = None


class Journal:
    """The directory of entries. All methods write through to the disk before they return, and may raise OSError."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "journal"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, assign: TaskAssign) -> None:
        """Remember an assignment before it is accepted."""
        self._write(Entry(state="accepted", task=assign.task, attempt=assign.attempt, assign=assign))

    def started(self, assign: TaskAssign) -> None:
        """Remember that its work has begun, so that a later process looks for what it left."""
        self._write(Entry(state="running", task=assign.task, attempt=assign.attempt, assign=assign))

    def report(self, report: Terminal) -> None:
        """Remember how the attempt ended until the hub has settled it."""
        self._write(Entry(state="reported", task=report.task, attempt=report.attempt, report=report))

    def forget(self, attempt: int) -> None:
        """The hub has settled it. Forgetting what is not there is fine."""
        self._path(attempt).unlink(missing_ok=True)
        atomic.settle(self._directory)

    def load(self) -> list[Entry]:
        """All entries, oldest attempt first. What cannot be read is moved aside and logged."""
        for leftover in self._directory.glob(".*.new"):
            leftover.unlink(missing_ok=True)
        found = [entry for path in self._directory.glob("*.json") if (entry := self._read(path)) is not None]
        return sorted(found, key=lambda entry: entry.attempt)

    def _read(self, path: Path) -> Entry | None:
        try:
            entry = Entry.model_validate_json(path.read_bytes())
            if entry.state == "reported" and entry.report is None:
                raise ValueError("it is said to be reported and holds no report")
            return entry
        except (ValidationError, ValueError) as damage:
            aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
            path.replace(aside)
            logger.error("journal entry damaged", file=path.name, moved_to=aside.name, problem=str(damage)[:500])
            return None

    def _write(self, entry: Entry) -> None:
        atomic.write(self._path(entry.attempt), entry.model_dump_json(exclude_none=True).encode())

    def _path(self, attempt: int) -> Path:
        return self._directory / f"{attempt:d}.json"


class RootTaken(Exception):
    """Another sidecar runs on this root; two of them would work on each other's attempts."""


class RootLock:
    """Holds a sidecar's root for one process; the kernel lets go of it when the process ends, however that is."""

    def __init__(self, root: Path) -> None:
        """Raises RootTaken, with the holder's process id where it is known."""
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            who = f" (process {holder})" if holder else ""
            raise RootTaken(f"Another sidecar is already running on {root}{who}.") from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        """Let another process have the root."""
        os.close(self._file)

    @staticmethod
    def holder(root: Path) -> int | None:
        """The process that runs on `root`, or None when none does."""
        try:
            file = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.read(file, 20)
            return int(said) if said.isdigit() else 0
        finally:
            os.close(file)
        return None
