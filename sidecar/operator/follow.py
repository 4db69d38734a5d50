"""Watching a goal or a task until it ends or waits for a person: what happens is said as it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from sidecar.operator import shown
from sidecar.operator.rest import Hub, Unreachable

EVERY_SECONDS = 2.0
PATIENCE_SECONDS = 300.0
"""So long the hub may not answer before watching ends."""


class Ending(IntEnum):
    """How watching ended, as the exit code of the command."""

    GOOD = 0
    BAD = 1
    NEEDS_A_PERSON = 4


GOAL_ENDINGS = {
    "complete": Ending.GOOD,
    "failed": Ending.BAD,
    "cancelled": Ending.BAD,
    "needs_review": Ending.NEEDS_A_PERSON,
}
TASK_ENDINGS = {"completed": Ending.GOOD, "dead": Ending.BAD, "cancelled": Ending.BAD}
Say = Callable[[str], None]


def goal(hub: Hub, number: int, *, say: Say, sleep: Callable[[float], None]) -> Ending:
    """Until it is complete, has failed, or needs a person."""

    def look(row: Any) -> Ending | None:
        if row["awaits_approval"]:
            say(f"The plan waits for approval: agentcom goal approve {number}")
            return Ending.NEEDS_A_PERSON
        return GOAL_ENDINGS.get(row["status"])

    return _watch(hub, f"/api/goals/{number}", look, say=say, sleep=sleep, also=_Slices(hub, number, say))


def task(hub: Hub, number: int, *, say: Say, sleep: Callable[[float], None]) -> Ending:
    """Until it has ended."""
    return _watch(hub, f"/api/tasks/{number}", lambda row: TASK_ENDINGS.get(row["status"]), say=say, sleep=sleep)


class _Slices:
    """Says a slice again when it stands differently."""

    def __init__(self, hub: Hub, number: int, say: Say) -> None:
        self.hub, self.path, self.say = hub, f"/api/goals/{number}/plan", say
        self.said: dict[int, str] = {}

    def look(self) -> None:
        """Those that changed since the last look."""
        for step in self.hub.get(self.path)["slices"]:
            line = shown.slice_of(step)
            if self.said.get(step["number"]) != line:
                self.said[step["number"]] = line
                self.say(f"          {line}")


def _watch(
    hub: Hub,
    path: str,
    look: Callable[[Any], Ending | None],
    *,
    say: Say,
    sleep: Callable[[float], None],
    also: _Slices | None = None,
) -> Ending:
    newest, answered = 0, time.monotonic()
    while True:
        try:
            row = hub.get(path)  # before the history, so that its end is told before watching ends
            history = hub.get(f"{path}/history")["results"]
            for event in reversed(history):
                if event["id"] > newest:
                    newest = event["id"]
                    say(shown.event(event))
            if also is not None:
                also.look()
            answered = time.monotonic()
        except Unreachable:
            if time.monotonic() - answered >= PATIENCE_SECONDS:
                raise
        else:
            if (ending := look(row)) is not None:
                return ending
        sleep(EVERY_SECONDS)
