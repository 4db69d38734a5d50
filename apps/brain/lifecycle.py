"""What the hub can be doing by itself, and every move from one to another. Pure."""

from __future__ import annotations

from enum import StrEnum

from apps.events.lifecycle import Lifecycle, Move


class State(StrEnum):
    RESTING = "resting"
    EXECUTING = "executing"
    IMPROVING = "improving"
    CONTEMPLATING = "contemplating"
    HEALING = "healing"


S = State

LOOKING = (S.IMPROVING, S.CONTEMPLATING)
"""The hub looks for work by itself; it leaves as soon as there is some."""
CYCLES = (*LOOKING, S.HEALING)
"""States that one piece of work by the hub fills, and that end with it."""

BRAIN = Lifecycle(
    State,
    final=[],
    moves=[
        Move(None, S.RESTING, "A new hub has nothing to do."),
        Move(S.RESTING, S.EXECUTING, "There are goals that can begin or go on."),
        Move(S.RESTING, S.IMPROVING, "No goals are waiting; the hub looks at its repositories."),
        Move(S.RESTING, S.HEALING, "Something is broken that the hub may be able to mend."),
        Move(S.EXECUTING, S.RESTING, "No goal can go on, the budget is used up, or nothing has moved for two hours."),
        Move(S.EXECUTING, S.HEALING, "Something is broken; goals in progress go on meanwhile."),
        Move(S.IMPROVING, S.RESTING, "It looked around, or took far too long."),
        Move(S.IMPROVING, S.EXECUTING, "There is a goal to begin."),
        Move(S.IMPROVING, S.CONTEMPLATING, "Nothing needs improving; the hub thinks about what could be new."),
        Move(S.IMPROVING, S.HEALING, "Something is broken; that goes first."),
        Move(S.CONTEMPLATING, S.RESTING, "It has thought, or took far too long."),
        Move(S.CONTEMPLATING, S.EXECUTING, "There is a goal to begin."),
        Move(S.CONTEMPLATING, S.HEALING, "Something is broken; that goes first."),
        Move(S.HEALING, S.RESTING, "The remedies were tried, or took too long."),
    ],
)
