"""Why nobody works on a task right now, in a sentence for its page and for REST."""

from __future__ import annotations

from django.utils import timezone

from apps.tasks import roster
from apps.tasks.by_hand import HAND, WAITS
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.matching import explain
from apps.tasks.models import Attempt, Dependency, Task

MOST_NAMED = 5


def why(task: Task) -> str:
    """The reason, or nothing for a task that is being worked on or is over."""
    if task.status == TaskStatus.WAITING:
        return _prerequisites(task)
    if task.status == TaskStatus.BLOCKED:
        return Attempt.objects.open().filter(task=task).values_list("blocked_reason", flat=True).first() or ""
    if task.status != TaskStatus.QUEUED:
        return ""
    if task.executor == HAND:
        return WAITS
    if task.demand_id is None and task.not_before is not None and task.not_before > timezone.now():
        if not task.failures and task.last_error:
            return f"{task.last_error} It is tried again at {task.not_before:%H:%M:%S} UTC."
        return f"The last attempt did not succeed; the next may start at {task.not_before:%H:%M:%S} UTC."
    return _repository(task) or explain(
        roster.need_of(task), {worker.id: worker for worker in roster.connected_workers()}
    )


def _prerequisites(task: Task) -> str:
    missing = Dependency.objects.filter(task=task).exclude(prerequisite__status=TaskStatus.COMPLETED)
    found = list(missing.order_by("prerequisite").values_list("prerequisite", "prerequisite__status")[: MOST_NAMED + 1])
    named = ", ".join(f"#{pk} ({status})" for pk, status in found[:MOST_NAMED])
    more = " and others" if len(found) > MOST_NAMED else ""
    lost = " One of them will not be completed by itself; retry it, or let this task go without it."
    return f"Waits for {named}{more}.{lost if task.stranded else ''}" if found else "Is about to be queued."


def _repository(task: Task) -> str:
    if task.repo is None:
        return ""
    if task.repo.paused:
        return f"The repository {task.repo.slug} is paused."
    if task.repo.max_running is not None:
        running = Attempt.objects.open().filter(repo=task.repo).count()
        if running >= task.repo.max_running:
            return f"The repository {task.repo.slug} runs {running} tasks, which is all it may at once."
    return ""
