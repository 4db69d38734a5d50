"""The statuses of a task and of an attempt, and every move between them. Pure."""

from __future__ import annotations

from enum import StrEnum

from apps.events.lifecycle import Lifecycle, Move


class TaskStatus(StrEnum):
    WAITING = "waiting"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    WORKING = "working"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    RECLAIMED = "reclaimed"
    CANCELLED = "cancelled"
    RELEASED = "released"


S = TaskStatus

HELD = (S.ASSIGNED, S.WORKING, S.BLOCKED)
"""An agent has the task: exactly then it has an open attempt."""

TASK = Lifecycle(
    TaskStatus,
    final=[S.COMPLETED, S.DEAD, S.CANCELLED],
    moves=[
        Move(None, S.QUEUED, "Submitted, free to run."),
        Move(None, S.WAITING, "Submitted with prerequisites that are not completed yet."),
        Move(S.WAITING, S.QUEUED, "The last prerequisite was completed, or an operator let the task go without it."),
        Move(S.WAITING, S.CANCELLED, "Cancelled before it could run."),
        Move(S.WAITING, S.DEAD, "Its deadline passed while it waited for prerequisites."),
        Move(S.QUEUED, S.ASSIGNED, "Matched with an agent; the attempt's lease starts."),
        Move(S.QUEUED, S.WAITING, "Made to wait for another task before it started."),
        Move(S.QUEUED, S.DEAD, "Its deadline, or the queue's time limit if there is one, passed."),
        Move(S.QUEUED, S.CANCELLED, "Cancelled before an agent had it."),
        Move(S.ASSIGNED, S.WORKING, "The agent accepted."),
        Move(S.ASSIGNED, S.QUEUED, "Not accepted in time, or handed back."),
        Move(S.ASSIGNED, S.COMPLETED, "Completed by an agent whose acceptance was lost on the way."),
        Move(S.ASSIGNED, S.DEAD, "Failed or was reclaimed for the last time before it was accepted."),
        Move(S.ASSIGNED, S.CANCELLED, "Cancelled; the agent is told to forget it."),
        Move(S.WORKING, S.BLOCKED, "The agent waits for something outside its reach."),
        Move(S.BLOCKED, S.WORKING, "The agent goes on."),
        Move(S.WORKING, S.COMPLETED, "The work is done and its checks passed."),
        Move(S.BLOCKED, S.COMPLETED, "The work is done and its checks passed; the unblocking was lost on the way."),
        Move(S.WORKING, S.QUEUED, "The attempt failed, lapsed or was handed back, and another may follow."),
        Move(S.BLOCKED, S.QUEUED, "The attempt failed, lapsed or was handed back, and another may follow."),
        Move(S.WORKING, S.DEAD, "The last attempt failed or lapsed, or the deadline passed."),
        Move(S.BLOCKED, S.DEAD, "The last attempt failed or lapsed, or the deadline passed."),
        Move(S.WORKING, S.CANCELLED, "Cancelled; the agent kills the work."),
        Move(S.BLOCKED, S.CANCELLED, "Cancelled; the agent kills the work."),
        Move(S.DEAD, S.QUEUED, "Taken out of the dead letter by an operator, with fresh attempts."),
        Move(S.DEAD, S.WAITING, "Taken out of the dead letter while prerequisites are still missing."),
    ],
)

ATTEMPT = Lifecycle(
    Outcome,
    final=[
        Outcome.SUCCEEDED,
        Outcome.FAILED,
        Outcome.UNVERIFIED,
        Outcome.RECLAIMED,
        Outcome.CANCELLED,
        Outcome.RELEASED,
    ],
    moves=[
        Move(None, Outcome.OPEN, "An agent was given the task."),
        Move(Outcome.OPEN, Outcome.SUCCEEDED, "The agent reported success and every check passed."),
        Move(Outcome.OPEN, Outcome.FAILED, "The work could not be done, or changed nothing."),
        Move(Outcome.OPEN, Outcome.UNVERIFIED, "The work was done but its checks did not pass."),
        Move(Outcome.OPEN, Outcome.RECLAIMED, "The lease lapsed, or the agent no longer knew of the work."),
        Move(Outcome.OPEN, Outcome.CANCELLED, "The task was cancelled or its deadline passed."),
        Move(Outcome.OPEN, Outcome.RELEASED, "The agent handed the work back unfinished."),
    ],
)
