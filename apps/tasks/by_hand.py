"""Work that a person does in their own checkout, under the name of an agent of theirs.

It is a task like any other, with an attempt, its fence and its lease; only that no sidecar is told of it. Asking for
the place again is its heartbeat: whoever stops asking loses it, and the task waits until the person asks once more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.agents.models import Agent
from apps.events.refused import Invalid, Refused
from apps.repos.models import Repo
from apps.tasks import roster
from apps.tasks.actions import Submission, submit
from apps.tasks.attempts import Fence, accept, assign
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.matching import Head, Pair, Worker
from apps.tasks.models import Attempt, Task

HAND = "hand"
"""The executor of such tasks. No agent offers it, so the matcher never gives one away."""
WAITS = "Waits for a person to go on with it by hand: agentcom-sidecar git submit."
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_LONGEST_NAME = 60


class AgentBusy(Refused):
    """{agent} works on task #{task} right now and can push nothing else; try again when that has ended."""


def branch_prefix(agent: str) -> str:
    """What the branches that this agent may ask for begin with; no attempt of a sidecar is ever given one."""
    return f"agentcom/{agent}/by-hand-"


def take_place(agent: Agent, repo: Repo, branch: str, title: str, *, metadata: Mapping[str, Any]) -> Attempt:
    """The open attempt under which `agent` may push `branch`, made or renewed; call it again to keep it.

    Raises Invalid for a branch that is not the agent's to ask for, AgentBusy while it does something else, and Stale
    when the repository takes no more work.
    """
    _check(agent, branch)
    with transaction.atomic():
        held = Attempt.objects.open().filter(agent=agent).select_related("task").first()
        if held is None:
            return _take(_task(agent, repo, branch, title, metadata), agent)
        if (held.task.executor, held.repo_id, held.branch) != (HAND, repo.pk, branch):
            raise AgentBusy("agent_busy", agent=agent.name, task=held.task_id)
        fence_of(held).renew("working")
    return held


def fence_of(attempt: Attempt) -> Fence:
    """What every statement about it has to name."""
    return Fence(attempt.task_id, attempt.pk, attempt.agent_id)


def _check(agent: Agent, branch: str) -> None:
    prefix = branch_prefix(agent.name)
    name = branch.removeprefix(prefix)
    if name == branch or len(name) > _LONGEST_NAME or not _NAME.match(name):
        said = f"{prefix} and a name of lower-case letters, digits and dashes, at most {_LONGEST_NAME}"
        raise Invalid("branch", f"The branch is called {said}.")


def _task(agent: Agent, repo: Repo, branch: str, title: str, metadata: Mapping[str, Any]) -> Task:
    """The one that waits for this person, left over or sent back; otherwise a new one."""
    rows = Task.objects.filter(executor=HAND, target=agent, repo=repo, branch=branch, status=TaskStatus.QUEUED)
    waiting = rows.order_by("pk").first()
    wanted = Submission(
        title=title, repo=repo, branch=branch, target=agent, executor=HAND, metadata={**metadata, "by_hand": True}
    )
    return waiting or submit(wanted, by=agent.name)[0]


def _take(task: Task, agent: Agent) -> Attempt:
    head = Head(task.pk, task.generation, task.rank, roster.need_of(task))
    worker = Worker(agent.pk, agent.name, frozenset({HAND}), frozenset())
    made = assign(Pair(head, worker, ("A person does it by hand.",)))
    accept(Fence(task.pk, made, agent.pk))
    return Attempt.objects.get(pk=made)
