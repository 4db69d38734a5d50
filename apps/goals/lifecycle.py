"""The statuses of a goal and of a merge into its branch, and every move between them. Pure."""

from __future__ import annotations

from enum import StrEnum

from apps.events.lifecycle import Lifecycle, Move


class GoalStatus(StrEnum):
    SUBMITTED = "submitted"
    DECOMPOSING = "decomposing"
    EXECUTING = "executing"
    VERIFYING = "verifying"
    NEEDS_REVIEW = "needs_review"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


G = GoalStatus

ACTIVE = (G.DECOMPOSING, G.EXECUTING, G.VERIFYING)
"""The hub has begun with it and goes on by itself."""

GOAL = Lifecycle(
    GoalStatus,
    final=[G.COMPLETE, G.FAILED, G.CANCELLED],
    moves=[
        Move(None, G.SUBMITTED, "Handed in; it waits for its turn and for the goals before it."),
        Move(G.SUBMITTED, G.DECOMPOSING, "Its turn has come: the hub makes a plan."),
        Move(G.DECOMPOSING, G.EXECUTING, "The plan stands, approved where the repository wants that."),
        Move(G.DECOMPOSING, G.NEEDS_REVIEW, "No plan could be made of it; a person has to look."),
        Move(G.DECOMPOSING, G.FAILED, "The planner says why it cannot be done."),
        Move(G.EXECUTING, G.VERIFYING, "Every slice is merged into the goal's branch; the goal is judged."),
        Move(G.EXECUTING, G.NEEDS_REVIEW, "A slice could not be done or merged; a person has to look."),
        Move(G.VERIFYING, G.EXECUTING, "Something is missing, or the branch has to follow the default branch first."),
        Move(G.VERIFYING, G.COMPLETE, "Every criterion is met; its pull request is open for a person."),
        Move(G.VERIFYING, G.NEEDS_REVIEW, "Still not met after two rounds, or it could not be judged."),
        Move(G.NEEDS_REVIEW, G.DECOMPOSING, "A person lets the hub try again to make a plan."),
        Move(G.NEEDS_REVIEW, G.EXECUTING, "A person lets the hub go on with the plan."),
        Move(G.SUBMITTED, G.CANCELLED, "Cancelled before it began."),
        Move(G.DECOMPOSING, G.CANCELLED, "Cancelled, or its plan was turned down."),
        Move(G.EXECUTING, G.CANCELLED, "Cancelled; its tasks are stopped."),
        Move(G.VERIFYING, G.CANCELLED, "Cancelled."),
        Move(G.NEEDS_REVIEW, G.CANCELLED, "A person gives it up."),
    ],
)


class MergeStatus(StrEnum):
    PENDING = "pending"
    LANDED = "landed"
    RED = "red"
    CONFLICT = "conflict"
    STALE = "stale"


M = MergeStatus

MERGE = Lifecycle(
    MergeStatus,
    final=[M.LANDED, M.RED, M.CONFLICT, M.STALE],
    moves=[
        Move(None, M.PENDING, "The merged tree exists; an agent repeats the checks on it."),
        Move(None, M.CONFLICT, "The work does not merge with the branch as it is."),
        Move(None, M.RED, "The work cannot be merged at all: it was never pushed, or has nothing in common with it."),
        Move(None, M.LANDED, "The default branch has nothing that the goal's branch lacks."),
        Move(M.PENDING, M.LANDED, "The checks passed, and the goal's branch was moved to it."),
        Move(M.PENDING, M.RED, "The checks did not pass on the merged tree, or no agent could run them."),
        Move(M.PENDING, M.STALE, "Nothing was learned of the work, which is merged anew, unless its goal has ended."),
    ],
)
