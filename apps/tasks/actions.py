"""What people and other rooms do with tasks: submit, cancel, revive, and say what waits for what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.agents.models import Agent
from apps.endpoints.rules import rule_of
from apps.events import statements
from apps.events.kinds import Kind
from apps.events.log import hint, record, transition
from apps.events.refused import Refused, Stale
from apps.repos.models import Repo
from apps.tasks import dependencies, queue, wake
from apps.tasks.attempts import Fence, bury, watchers
from apps.tasks.complexity import classify
from apps.tasks.dependencies import LOST, in_line
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.models import Attempt, Dependency, Lane, Task, Work
from apps.tasks.routing import MODEL, route

RACES = 2
"""How often ending a task looks again after losing a race; each lost one means that the task moved on."""
OURS = "hub:"
"""What the idempotency keys of the hub's own tasks begin with; nobody else may give such a key."""
FOR_A_COMMAND, FOR_A_MODEL = 600.0, 1800.0
"""Seconds that an attempt may take when nobody said."""


@dataclass(frozen=True)
class Submission:
    """Everything that can be asked for. Checked for form by the edge, for sense by `submit`."""

    title: str
    description: str = ""
    command: str = ""
    work: Work = Work.CHANGE
    executor: str = ""
    lane: int = Lane.NORMAL
    repo: Repo | None = None
    capabilities: Sequence[str] = ()
    target: Agent | None = None
    avoid: Agent | None = None
    tier: str = ""
    checks: Sequence[Mapping[str, Any]] = ()
    success_criteria: Sequence[str] = ()
    file_hints: Sequence[Mapping[str, Any]] = ()
    remarks: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    goal: int | None = None
    depends_on: Sequence[int] = ()
    start: str = ""
    branch: str = ""
    base: str = ""
    commit: str = ""
    max_attempts: int = 3
    max_fixes: int | None = None
    timeout_seconds: float | None = None
    complete_by: datetime | None = None
    idempotency_key: str | None = None


def submit(wanted: Submission, *, by: str) -> tuple[Task, bool]:
    """Take a task into the queue. With a known idempotency key: the task that has it, and False.

    Raises Invalid for prerequisites that do not exist.
    """
    if wanted.idempotency_key and (known := _known(wanted.idempotency_key)):
        return known, False
    try:
        with transaction.atomic():
            return _submit(wanted, by), True
    except IntegrityError:  # the same key came in twice at once; the other one won
        if wanted.idempotency_key and (known := _known(wanted.idempotency_key)):
            return known, False
        raise


def _known(key: str) -> Task | None:
    return Task.objects.filter(idempotency_key=key).first()


def _submit(wanted: Submission, by: str) -> Task:
    before = dependencies.lock_prerequisites(wanted.depends_on)
    missing = [task for task in before if task.status != TaskStatus.COMPLETED]
    task = _task(wanted, by)
    if missing:
        task.status = TaskStatus.WAITING
        task.stranded = any(other.status in LOST for other in missing)
    else:
        task.status = TaskStatus.QUEUED
        for name, value in in_line(task).items():
            setattr(task, name, value)
    task.pk = statements.insert(Task, {name: getattr(task, name) for name in _STORED})
    if before:
        Dependency.objects.bulk_create([Dependency(task=task, prerequisite=other) for other in before])
    record(Kind.TASK_SUBMITTED, task, tell=watchers(task.pk), actor=by, lane=Lane(task.lane).label.lower())
    if not missing:
        wake.match_after_commit()
    return task


_STORED = [field.attname for field in Task._meta.local_concrete_fields if not field.primary_key]


def _task(wanted: Submission, by: str) -> Task:
    guess = classify(
        f"{wanted.title}\n{wanted.description}",
        files=len(wanted.file_hints),
        checks=len(wanted.checks),
        tag=wanted.tier,
    )
    needs_rule = wanted.work == Work.CHANGE and not wanted.command
    chain = rule_of(guess.tier.value).chain if needs_rule else ()
    chosen = route(kind=wanted.work, command=wanted.command, tier=guess.tier, chain=chain)
    executor = wanted.executor or chosen.executor
    return Task(
        title=wanted.title,
        description=wanted.description,
        command=wanted.command,
        work=wanted.work,
        lane=wanted.lane,
        repo=wanted.repo,
        capabilities=sorted(set(wanted.capabilities)),
        target=wanted.target,
        avoid=wanted.avoid,
        executor=executor,
        grades=list(chosen.grades) if executor == MODEL else [],
        tier=guess.tier.value,
        complexity={
            "confidence": guess.confidence,
            "reason": guess.reason,
            "explicit": guess.explicit,
            "route": chosen.reason,
        },
        checks=[dict(check) for check in wanted.checks],
        success_criteria=list(wanted.success_criteria),
        file_hints=[dict(hint) for hint in wanted.file_hints],
        remarks=[dict(remark) for remark in wanted.remarks],
        metadata=dict(wanted.metadata),
        goal=wanted.goal,
        start=wanted.start,
        branch=wanted.branch,
        base=wanted.base,
        commit=wanted.commit,
        max_attempts=wanted.max_attempts,
        max_fixes=_fixes(wanted.max_fixes, executor),
        timeout_seconds=wanted.timeout_seconds or (FOR_A_MODEL if executor == MODEL else FOR_A_COMMAND),
        complete_by=wanted.complete_by,
        idempotency_key=wanted.idempotency_key or None,
        submitted_by=by,
        created_at=timezone.now(),
    )


def _fixes(wanted: int | None, executor: str) -> int:
    """How often failing checks go back to whoever does the work; a command that failed would only fail again."""
    if wanted is not None:
        return wanted
    return settings.MODEL_FIXES if executor == MODEL else 0


def move_to_lane(task: Task, lane: int) -> None:
    """Let a task that nobody has begun go in another lane, as if it had come there when it came."""
    place = task.repo.place if task.repo is not None else 0
    rank = {"rank": queue.rank(lane, task.queued_at, settings.LANE_PATIENCE, place)} if task.queued_at else {}
    Task.objects.filter(pk=task.pk, status=task.status, queued_at=task.queued_at).update(lane=lane, **rank)
    for group in watchers(task.pk):
        hint(group)


def cancel(task: Task, *, by: str, reason: str = "") -> None:
    """Stop it, whatever it is doing; the record stays. Refused when it has ended already."""
    _despite_races(lambda: _cancel(task, by, reason))


def _cancel(task: Task, by: str, reason: str) -> None:
    task.refresh_from_db()
    if task.is_final:
        raise Refused("task_ended", f"The task is {task.status} already.", task=task.pk)
    holder = _close_attempt(task, Outcome.CANCELLED, reason or f"Cancelled by {by}.")
    transition(
        task,
        TaskStatus.CANCELLED,
        Kind.TASK_CANCELLED,
        set={"finished_at": Now(), "demand": None, "not_before": None, "stranded": False},
        where={"generation": task.generation},  # an attempt that began after the look for one would be left open
        tell=[*watchers(task.pk, holder), "needs-you"],
        actor=by,
        reason=reason,
        forge=bool(task.metadata.get("pull_request")),
        goal=task.goal,
        checkup=task.metadata.get("checkup"),
    )
    dependencies.strand(task)
    wake.match_after_commit()


def expire(task: Task, reason: str, *, only_queued: bool = False) -> None:
    """Its time is up: end what runs and bury it. Raises Stale when it has ended, or was taken though `only_queued`."""
    _despite_races(lambda: _expire(task, reason, only_queued))


def _expire(task: Task, reason: str, only_queued: bool) -> None:
    task.refresh_from_db()
    if only_queued and task.status != TaskStatus.QUEUED:
        raise Stale("task_started", "An agent has it by now.")
    _close_attempt(task, Outcome.CANCELLED, reason)
    bury(task, reason, also={"last_error": reason, "stranded": False}, where={"generation": task.generation})
    wake.match_after_commit()


def _despite_races(end: Callable[[], None]) -> None:
    """`end` in a transaction, and once more when the task was assigned or handed back in the same moment."""
    for _ in range(RACES):
        with contextlib.suppress(Stale), transaction.atomic():
            return end()
    with transaction.atomic():
        return end()


def _close_attempt(task: Task, outcome: Outcome, error: str) -> int | None:
    """End the open attempt, if there is one; the id of the agent that had it, which is told to stop."""
    attempt = Attempt.objects.open().filter(task=task).first()
    if attempt is None:
        return None
    Fence(task.pk, attempt.pk, attempt.agent_id).close(outcome, error_code=outcome.value, error=error)
    hint(f"agent.{attempt.agent_id}")
    return attempt.agent_id


@transaction.atomic
def revive(task: Task, *, by: str) -> None:
    """Out of the dead letter, with fresh attempts, at the end of its line."""
    if task.status != TaskStatus.DEAD:
        raise Refused("task_not_dead", f"Only a dead task can be retried; this one is {task.status}.", task=task.pk)
    dependencies.lock_prerequisites(task.prerequisites.values_list("prerequisite", flat=True))
    fresh: dict[str, Any] = {"failures": 0, "reclaims": 0, "finished_at": None, "complete_by": None}
    dead = {"status": TaskStatus.DEAD}  # held tasks may go back to the queue as well; two who revive at once may not
    told: dict[str, Any] = {"where": dead, "tell": watchers(task.pk), "actor": by, "goal": task.goal}
    unmet = Dependency.objects.filter(task=task).exclude(prerequisite__status=TaskStatus.COMPLETED)
    if unmet.exists():
        fresh["stranded"] = unmet.filter(prerequisite__status__in=LOST).exists()
        transition(task, TaskStatus.WAITING, Kind.TASK_REVIVED, set=fresh, **told)
    else:
        fresh |= in_line(task)
        transition(task, TaskStatus.QUEUED, Kind.TASK_REVIVED, set=fresh, **told)
        wake.match_after_commit()
    dependencies.unstrand(task)


@transaction.atomic
def add_prerequisite(task: Task, prerequisite: int, *, by: str) -> None:
    """Make a task that has not started wait for another. Raises Invalid for an unknown one or a circle."""
    dependencies.add(task, prerequisite, by=by)


@transaction.atomic
def drop_prerequisite(task: Task, prerequisite: int, *, by: str) -> None:
    """Let the task go without that one; how an operator frees a stranded task."""
    dependencies.drop(task, prerequisite, by=by)
    wake.match_after_commit()
