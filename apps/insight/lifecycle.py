"""The statuses of a checkup, and every move between them. Pure."""

from __future__ import annotations

from enum import StrEnum

from apps.events.lifecycle import Lifecycle, Move


class CheckupStatus(StrEnum):
    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"


C = CheckupStatus
PAUSED = "The hub is paused."
"""What is noted of a checkup that a pause took back; it says nothing of the head."""

CHECKUP = Lifecycle(
    CheckupStatus,
    final=[C.PASSED, C.FAILED, C.ERROR],
    moves=[
        Move(
            None, C.PENDING, "The head of the default branch is looked at; an agent runs the checks, if there are any."
        ),
        Move(C.PENDING, C.PASSED, "No marks of a merge were left in it, and every check passed."),
        Move(C.PENDING, C.FAILED, "A check did not pass, or marks of a merge were left in it."),
        Move(
            C.PENDING, C.ERROR, "Nobody could say: no agent could run the checks, or the report is of something else."
        ),
    ],
)
