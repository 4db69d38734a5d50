"""The cast: agents and tasks brought to a state by the steps that bring them there in life."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from django.db.models import Model
from django.db.models.functions import Now

from apps.agents import presence
from apps.agents.models import Agent
from apps.repos.models import Repo
from apps.tasks import attempts
from apps.tasks.actions import Submission, submit
from apps.tasks.attempts import Fence
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task

Row = TypeVar("Row", bound=Model)
_numbers = itertools.count(1)
FACTS: Mapping[str, Any] = {
    "executors": ["shell", "verify"],
    "offers": [],
    "capabilities": [],
    "sandbox": "bubblewrap",
    "sandbox_detail": "",
    "software": "tests",
    "host": {},
}
CHECK = {"type": "command_succeeds", "target": "true", "description": "", "timeout_seconds": 10.0}


def agent(name: str = "", *, online: bool = True, **facts: Any) -> Agent:
    """An agent whose sidecar is connected, unless told otherwise."""
    made = Agent.objects.create(name=name or f"agent-{next(_numbers)}")
    return connect(made, **facts) if online else made


def connect(made: Agent, connection: str = "", **facts: Any) -> Agent:
    presence.join(made, connection or f"connection-{next(_numbers)}", {**FACTS, **facts})
    return fresh(made)


def repo(slug: str = "", **fields: Any) -> Repo:
    """A registered repository without a mirror on disk."""
    return Repo.objects.create(slug=slug or f"repo-{next(_numbers)}", **fields)


def queued_task(title: str = "", **wanted: Any) -> Task:
    """A submitted shell task; it is assigned at once if an idle agent fits and hooks run."""
    wanted.setdefault("command", "true")
    return submit(Submission(title=title or f"task {next(_numbers)}", **wanted), by="tests")[0]


def assigned(task: Task) -> Attempt:
    """Match, and return the open attempt that `task` must have got."""
    match()
    return Attempt.objects.open().get(task=task)


def working(task: Task) -> Attempt:
    """An attempt at `task` that its agent has accepted."""
    attempt = assigned(task)
    attempts.accept(fence(attempt))
    return fresh(attempt)


def fence(attempt: Attempt) -> Fence:
    return Fence(attempt.task_id, attempt.pk, attempt.agent_id)


def report(checks: Sequence[Mapping[str, Any]] = (), status: str = "pass", **facts: Any) -> dict[str, Any]:
    """A report in which every one of `checks` ended with `status`."""
    ran = [{"type": check["type"], "target": check.get("target", ""), "status": status} for check in checks]
    return {"status": status, "checks": ran, **facts}


def lapse(attempt: Attempt) -> None:
    """Let the lease run out by the database's clock, without waiting for it."""
    Attempt.objects.filter(pk=attempt.pk).update(lease_until=Now())


def rest(task: Task) -> None:
    """Let the wait after a failure be over."""
    Task.objects.filter(pk=task.pk, not_before__isnull=False).update(not_before=Now())


def fresh(row: Row) -> Row:
    """The same row as it is now."""
    found: Row = type(row)._base_manager.get(pk=row.pk)
    return found


def outcome_of(attempt: Attempt) -> str:
    return str(Attempt.objects.values_list("outcome", flat=True).get(pk=attempt.pk))


def status_of(task: Task) -> str:
    return str(Task.objects.values_list("status", flat=True).get(pk=task.pk))
