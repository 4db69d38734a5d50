"""What an agent is doing, as shown everywhere. Derived from its connection and its open attempt, never stored. Pure."""

from __future__ import annotations

from enum import StrEnum


class AgentState(StrEnum):
    OFFLINE = "offline"
    IDLE = "idle"
    ASSIGNED = "assigned"
    WORKING = "working"
    BLOCKED = "blocked"


def state_of(*, online: bool, task_status: str | None) -> AgentState:
    """An agent that holds work is shown by that work's stage even while its socket is away: nothing is lost yet."""
    if task_status in ("assigned", "working", "blocked"):
        return AgentState(task_status)
    return AgentState.IDLE if online else AgentState.OFFLINE
