"""Live steps of one attempt, collected into batches. Pure: never waits, and drops only what nobody saw."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from sidecar.wire.messages import TaskProgress
from sidecar.wire.nouns import Step

BATCH_STEPS = 200
BATCH_CHARACTERS = 100_000
"""Keeps a batch far under the frame limit, whatever its characters cost as JSON."""
WAITING_STEPS = 500
"""So many steps wait for a connection; older ones give way, and a note says how many did."""


class Progress:
    """What happened in one attempt and has not been sent yet."""

    def __init__(self, task: int, attempt: int) -> None:
        self._task = task
        self._attempt = attempt
        self._seq = 0
        self._waiting: deque[Step] = deque()
        self._lost = 0

    def add(self, steps: Iterable[Step]) -> None:
        """Take new steps; the oldest give way when nobody listens for long."""
        self._waiting.extend(steps)
        while len(self._waiting) > WAITING_STEPS:
            self._waiting.popleft()
            self._lost += 1

    def batch(self) -> TaskProgress | None:
        """The next batch to send, or None when there is nothing to tell."""
        if not self._waiting:
            return None
        steps = list(islice(self._waiting, self._fitting()))
        for _ in steps:
            self._waiting.popleft()
        if self._lost:
            note = Step(at_ms=steps[0].at_ms, kind="note", text=f"{self._lost} steps were not sent.")
            steps = [note, *steps[: BATCH_STEPS - 1]]
            self._lost = 0
        self._seq += 1
        return TaskProgress(task=self._task, attempt=self._attempt, seq=self._seq, steps=steps)

    def _fitting(self) -> int:
        room = BATCH_CHARACTERS
        count = 0
        # One less than allowed, so that a note about lost steps always has a place.
        for step in islice(self._waiting, BATCH_STEPS - 1):
            room -= len(step.text)
            if room < 0 and count:
                break
            count += 1
        return count
