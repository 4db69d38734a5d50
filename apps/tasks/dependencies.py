"""Tasks that wait for tasks: let them go, strand them, and never in a circle.

Lock order, everywhere: a prerequisite's row before its dependants'. Edges never form a circle, so neither do locks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from apps.events import waits
from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.prepared import Prepared
from apps.events.refused import Invalid, Stale
from apps.tasks import queue
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Dependency, Task

LOST = (TaskStatus.DEAD, TaskStatus.CANCELLED)
_ADVISORY_LOCK = 4_242_001


def lock_prerequisites(ids: Iterable[int]) -> list[Task]:
    """The tasks with `ids`, held still until commit, so that none completes unseen. Raises Invalid for unknown ids."""
    wanted = sorted(set(ids))
    found = list(Task.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")) if wanted else []
    if missing := set(wanted) - {task.pk for task in found}:
        raise Invalid("depends_on", f"No such task: {', '.join(map(str, sorted(missing)))}.")
    return found


def release(completed: Task) -> None:
    """Queue every waiting task for which `completed` was the last missing prerequisite."""
    for task in _waiting_for(completed):
        ready(task)


def ready(task: Task, *, by: str = "") -> bool:
    """Queue `task` if it waits for nothing any more. Raises Stale when it waits no more."""
    if Dependency.objects.filter(task=task).exclude(prerequisite__status=TaskStatus.COMPLETED).exists():
        return False
    changes = {**in_line(task), "stranded": False}
    still = {"status": TaskStatus.WAITING}
    tell = ["dashboard", task.group]
    transition(task, TaskStatus.QUEUED, Kind.TASK_READY, set=changes, where=still, tell=tell, actor=by)
    return True


def in_line(task: Task) -> dict[str, object]:
    """The fields that put `task` at the end of its line, now."""
    now = timezone.now()
    place = task.repo.place if task.repo is not None else 0
    return {
        "queued_at": now,
        "rank": queue.rank(task.lane, now, settings.LANE_PATIENCE, place),
        "demand_id": queue.demand_of(task),
        "not_before": None,
    }


def strand(lost: Task) -> None:
    """`lost` will not be completed: show that on every task that waits for it."""
    for task in _waiting_for(lost):
        if not task.stranded:
            Task.objects.filter(pk=task.pk, status=TaskStatus.WAITING).update(stranded=True)
            record(Kind.TASK_STRANDED, task, tell=["dashboard", "needs-you", task.group], prerequisite=lost.pk)


def unstrand(revived: Task) -> None:
    """`revived` is on its way again: whoever waits for nothing lost any more is not stranded."""
    for task in _waiting_for(revived):
        still_lost = Dependency.objects.filter(task=task, prerequisite__status__in=LOST).exclude(prerequisite=revived)
        if task.stranded and not still_lost.exists():
            Task.objects.filter(pk=task.pk, status=TaskStatus.WAITING).update(stranded=False)
            record(Kind.TASK_UNSTRANDED, task, tell=["dashboard", task.group], prerequisite=revived.pk)


def add(task: Task, prerequisite: int, *, by: str) -> None:
    """Make a task that has not started wait for `prerequisite`. Raises Invalid for an unknown id or a circle.

    Call inside a transaction.
    """
    waits.one_at_a_time(_ADVISORY_LOCK)
    (before,) = lock_prerequisites([prerequisite])
    if before.pk == task.pk or waits.reaches(before.pk, task.pk, _before):
        raise Invalid("depends_on", f"Task {before.pk} waits for task {task.pk} already; that would be a circle.")
    fresh = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    if fresh.status not in (TaskStatus.QUEUED, TaskStatus.WAITING):
        raise Stale("task_started", "The task has started; it cannot wait for another one any more.")
    Dependency.objects.get_or_create(task=fresh, prerequisite=before)
    if before.status == TaskStatus.COMPLETED:
        return
    stranded = fresh.stranded or before.status in LOST
    if fresh.status == TaskStatus.WAITING:
        Task.objects.filter(pk=fresh.pk).update(stranded=stranded)
        return
    out_of_line = {"demand": None, "not_before": None, "stranded": stranded}
    facts: dict[str, Any] = {"actor": by, "prerequisite": before.pk}
    transition(fresh, TaskStatus.WAITING, Kind.TASK_WAITING, set=out_of_line, tell=["dashboard", fresh.group], **facts)


def drop(task: Task, prerequisite: int, *, by: str) -> None:
    """An operator lets `task` go without `prerequisite`. Call inside a transaction."""
    if not Dependency.objects.filter(task=task, prerequisite=prerequisite).delete()[0]:
        raise Invalid("depends_on", f"Task {task.pk} does not wait for task {prerequisite}.")
    fresh = Task.objects.select_for_update(no_key=True).get(pk=task.pk)
    if fresh.status == TaskStatus.WAITING and not ready(fresh, by=by):
        lost = Dependency.objects.filter(task=fresh, prerequisite__status__in=LOST).exists()
        Task.objects.filter(pk=fresh.pk).update(stranded=lost)


def overlooked() -> list[Task]:
    """Waiting tasks that wait for nothing; there should be none, and the sweep queues them."""
    missing = Dependency.objects.filter(task=OuterRef("pk")).exclude(prerequisite__status=TaskStatus.COMPLETED)
    return list(Task.objects.filter(status=TaskStatus.WAITING).filter(~Exists(missing))[:500])


def _dependants(prerequisite: int) -> QuerySet[Dependency, Any]:
    return Dependency.objects.filter(prerequisite=prerequisite).values_list("pk")[:1]


_DEPENDANTS = Prepared(_dependants, prerequisite=int)


def _waiting_for(task: Task) -> list[Task]:
    if not _DEPENDANTS.rows(prerequisite=task.pk):  # as good as always
        return []
    waiting = Task.objects.select_for_update(of=("self",), no_key=True).filter(
        prerequisites__prerequisite=task, status=TaskStatus.WAITING
    )
    return list(waiting.order_by("pk"))


def _before(tasks: Iterable[int]) -> Iterable[int]:
    return Dependency.objects.filter(task__in=tasks).values_list("prerequisite", flat=True)
