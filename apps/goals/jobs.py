"""What the clusters run for this room. Each job takes an id, looks again, and may run twice."""

from __future__ import annotations

import contextlib
from datetime import datetime

import structlog
from django.db import transaction
from django.utils import timezone
from django_q.tasks import async_task

from apps.events.refused import Refused, Stale
from apps.forge.models import PullRequest
from apps.goals import actions, judgement, merging, planning, progress
from apps.goals.lifecycle import ACTIVE, GoalStatus
from apps.goals.models import Goal, Slice
from apps.tasks import actions as tasks
from apps.tasks.lifecycle import TASK
from apps.tasks.models import Task, Work

logger = structlog.get_logger(__name__)
THINKING = "thinking"


def decompose(goal: int) -> None:
    """Ask for a plan, unless somebody does already."""
    planning.decompose(goal)


def judge(goal: int) -> None:
    """Ask whether the goal is reached, unless somebody does already."""
    judgement.judge(goal)


def advance(goal: int) -> None:
    """Do what is next."""
    progress.advance(goal)


def task_changed(task: int) -> None:
    """A task of a goal ended, or was taken out of the dead letter."""
    found = Task.objects.filter(pk=task, goal__isnull=False).first()
    if found is None or "pull_request" in found.metadata:  # people have its pull request in hand
        return
    if found.work == Work.VERIFICATION:
        merging.take_report(found)
    elif not TASK.is_final(found.status):
        _resume(found)
    assert found.goal is not None
    progress.advance(found.goal)


def _resume(task: Task) -> None:
    """A person revived what a goal was waiting for, so it may go on; what none waits for any more is not done."""
    with transaction.atomic():  # behind whoever just now says that the goal needs a person
        goal = Goal.objects.select_for_update().get(pk=task.goal or 0)
    if goal.is_final or not Slice.objects.filter(task=task, merged_at__isnull=True).exists():
        with contextlib.suppress(Refused):  # it has ended meanwhile
            tasks.cancel(task, by="goals", reason="Its goal does not need it any more.")
    elif goal.status == GoalStatus.NEEDS_REVIEW:
        try:
            actions.go_on(goal, by="goals")
        except (Refused, Stale) as refused:
            logger.info("goal not resumed", goal=goal.pk, code=refused.code)


def pull_ended(pull: int) -> None:
    """The pull request of a goal was merged or closed by a person."""
    found = PullRequest.objects.get(pk=pull)
    goal = Goal.objects.filter(pk=found.goal).first() if found.goal else None
    if goal is None:
        return
    if found.status == "merged":
        progress.landed(goal)
    elif found.status == "closed":
        progress.rejected(goal)


def sweep() -> None:
    """The clock's safety net: every goal that the hub has begun is looked at again; a job each."""
    now = timezone.now()
    for goal in Goal.objects.unfinished().filter(status__in=ACTIVE).order_by("lane", "id"):
        if goal.status == GoalStatus.EXECUTING:
            async_task("apps.goals.jobs.catch_up", goal.pk, group=f"goal/{goal.pk}")
        elif not goal.awaits_approval and _is_due(goal, now):
            job = "decompose" if goal.status == GoalStatus.DECOMPOSING else "judge"
            async_task(f"apps.goals.jobs.{job}", goal.pk, group=f"goal/{goal.pk}", cluster=THINKING)
    _hear_of_ends()


def means_changed(_row: int = 0) -> None:
    """A budget, a price, an endpoint or the gate changed: what was held up for it is looked at now, not in a minute."""
    Goal.objects.unfinished().filter(status__in=ACTIVE, tries=0, claim_until__isnull=True).update(not_before=None)
    sweep()


def catch_up(goal: int) -> None:
    """Take reports that nobody took, then do what is next."""
    found = Goal.objects.filter(pk=goal).first()
    if found is None:
        return
    for merge in progress.overdue_reports(found):
        if merge.task is not None:
            merging.take_report(merge.task)
    progress.advance(goal)


def tidy(goal: int) -> None:
    """A goal has ended: let go of what only its merges needed."""
    found = Goal.objects.select_related("repo").filter(pk=goal, finished_at__isnull=False).first()
    if found is not None:
        progress.tidy(found)


def _is_due(goal: Goal, now: datetime) -> bool:
    free = goal.claim_until is None or goal.claim_until <= now
    return free and (goal.not_before is None or goal.not_before <= now)


def _hear_of_ends() -> None:
    """Pull requests that ended while nobody told their goal."""
    undecided = Goal.objects.filter(status=GoalStatus.COMPLETE, landed_at__isnull=True, rejected_at__isnull=True)
    for pull in undecided.filter(pull__ended_at__isnull=False).values_list("pull", flat=True)[:100]:
        pull_ended(pull)
