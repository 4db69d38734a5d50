"""Whether a job cluster still works: django-q2 can hang for ever while all its processes live.

A worker that is killed while it waits for work dies holding the queue's lock; then nothing runs again and SIGTERM
hangs. So each cluster leaves a mark whenever a job begins or ends, the supervisor queues a beat (a job that does
nothing) for it every few seconds, and a cluster that leaves no mark, though none of its jobs is running within its
time, is killed and started again.

Marks are files in the directory that AGENTCOM_PULSE_DIR names for the cluster: `beat`, and `busy-<pid>` while a worker
runs a job. They hold readings of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

DIRECTORY_VARIABLE = "AGENTCOM_PULSE_DIR"
BEAT_SECONDS = 10.0
SILENT_SECONDS = 45.0
"""A cluster without a mark for so long, with no job running, is stuck."""
STOP_GRACE_SECONDS = 15.0
"""What a job may take beyond its time limit before its worker counts as gone."""


def began(directory: Path, limit: float) -> None:
    """This process has begun a job that may take `limit` seconds (negative: for ever)."""
    ends = time.monotonic() + limit + STOP_GRACE_SECONDS if limit >= 0 else float("inf")
    (directory / f"busy-{os.getpid()}").write_text(str(ends), encoding="ascii")
    mark(directory)


def ended(directory: Path) -> None:
    """This process has ended its job."""
    (directory / f"busy-{os.getpid()}").unlink(missing_ok=True)
    mark(directory)


def mark(directory: Path) -> None:
    """A job ran just now."""
    (directory / "beat").write_text(str(time.monotonic()), encoding="ascii")


def last_mark(directory: Path) -> float:
    """When a job last began or ended; 0 when none has."""
    return reading(directory / "beat") or 0.0


def is_busy(directory: Path, now: float) -> bool:
    """Whether a living worker is within the time limit of its job."""
    for file in directory.glob("busy-*"):
        if (reading(file) or 0.0) > now and Path(f"/proc/{file.name.removeprefix('busy-')}").exists():
            return True
    return False


def reading(file: Path) -> float | None:
    """The clock reading in `file`; None when it is gone or half written."""
    try:
        return float(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


class Pulse:
    """Watches one cluster for the supervisor."""

    def __init__(
        self,
        directory: Path,
        ring: Callable[[], object],
        *,
        beat_seconds: float = BEAT_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        """`ring` queues a beat; it is called in a thread, and may raise while the database is away."""
        self._directory = directory
        self._ring = ring
        self._beat_seconds = beat_seconds
        self._silent_seconds = silent_seconds
        self._since = time.monotonic()
        self._rung: float | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def started(self) -> None:
        """The cluster was started just now: its silence counts from here, and marks of the last one do not."""
        self._since = time.monotonic()
        self._rung = None
        for file in self._directory.glob("busy-*"):
            file.unlink(missing_ok=True)

    async def is_stuck(self) -> bool:
        """Ring when it is time; true when a beat has waited too long and no job explains it."""
        now = time.monotonic()
        heard = max(self._since, last_mark(self._directory))
        if self._rung is None or (heard > self._rung and now - self._rung >= self._beat_seconds):
            await self._ring_now(now)
            return False
        silence = now - max(heard, self._rung)
        return silence > self._silent_seconds and not is_busy(self._directory, now)

    async def _ring_now(self, now: float) -> None:
        try:
            await asyncio.to_thread(self._ring)
        except Exception:  # whatever the database's trouble is, it is no reason to kill a cluster
            logger.warning("no beat could be queued", exc_info=True)
        else:
            self._rung = now


def on_job_began(task: Mapping[str, Any], **_: object) -> None:
    """django-q2's pre_execute, in a worker."""
    from django_q.conf import Conf

    if directory := os.environ.get(DIRECTORY_VARIABLE):
        limit = task.get("timeout", Conf.TIMEOUT)
        with contextlib.suppress(OSError):  # a full disk must not fail the job; a missed mark costs one restart
            began(Path(directory), -1 if limit is None else float(limit))


def on_job_ended(**_: object) -> None:
    """django-q2's post_execute_in_worker."""
    if directory := os.environ.get(DIRECTORY_VARIABLE):
        with contextlib.suppress(OSError):  # as above
            ended(Path(directory))
