"""Agents as the pages show them: with the state that follows from connection and work."""

from __future__ import annotations

from dataclasses import dataclass

from apps.agents.lifecycle import AgentState, state_of
from apps.agents.models import Agent
from apps.tasks.models import Attempt

MAX_AGENTS = 200


@dataclass(frozen=True)
class AgentRow:
    """One agent, what it is doing, and the open attempt that it holds."""

    agent: Agent
    state: AgentState
    attempt: Attempt | None

    @property
    def draining(self) -> bool:
        """It gets no new work, and has not finished what it had."""
        return self.agent.paused and self.attempt is not None

    @property
    def restart_waits(self) -> str:
        """What the restart that was asked for waits for; nothing when none was."""
        if self.agent.restart_asked_at is None:
            return ""
        if not self.agent.online:
            return "It is told as soon as it is connected."
        if not self.agent.process:
            return "It does not say which process it is: restart it on its machine, then take this back."
        if self.attempt is None:
            return "It has been told."
        task = f"#{self.attempt.task_id}"
        return f"It hands {task} back after its grace." if self.agent.restart_now else f"It finishes {task} first."


def agent_rows() -> list[AgentRow]:
    """Every agent that is not retired, the busy first, then the idle, then those that are away. Two queries."""
    agents = list(Agent.objects.filter(retired_at__isnull=True).select_related("host").order_by("name")[:MAX_AGENTS])
    # In the order of the lease, because that is the index of what is open; by id it would be read from a longer one.
    held = {row.agent_id: row for row in Attempt.objects.open().select_related("task").order_by("lease_until")}
    rows = [_row(agent, held.get(agent.pk)) for agent in agents]
    return sorted(rows, key=lambda row: (row.state is AgentState.OFFLINE, row.state is AgentState.IDLE))


def _row(agent: Agent, attempt: Attempt | None) -> AgentRow:
    status = attempt.task.status if attempt is not None else None
    return AgentRow(agent, state_of(online=agent.online, task_status=status), attempt)
