"""Goals, plans and slices for tests of what shows them, written straight into the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from apps.goals.lifecycle import GOAL, GoalStatus
from apps.goals.models import Goal, Merge, Plan, Slice
from apps.repos.models import Repo
from apps.tasks.models import Task
from tests import cast


def goal(title: str = "Read dates", status: str = GoalStatus.SUBMITTED, **fields: Any) -> Goal:
    """A goal in a status, with what that status asks for."""
    repo = fields.pop("repo", None) or Repo.objects.first() or cast.repo("textkit")
    if GOAL.is_final(status):
        fields.setdefault("finished_at", timezone.now())
    return Goal.objects.create(title=title, status=status, repo=repo, **fields)


def plan(goal: Goal, after: Mapping[int, list[int]], **fields: Any) -> list[Slice]:
    """A plan with these slices and the numbers each waits for."""
    Plan.objects.create(goal=goal, document={}, model="qwen3:8b", **fields)
    return [
        Slice.objects.create(
            goal=goal,
            number=number,
            title=f"Part {number}",
            description=f"Do part {number}.",
            success_criteria=[f"Part {number} works."],
            tier="standard",
            after=before,
        )
        for number, before in after.items()
    ]


def handed_in(one: Slice) -> Slice:
    """Its task exists."""
    one.task = cast.queued_task(one.title, goal=one.goal_id)
    one.save()
    return one


def done(one: Slice) -> Slice:
    """Its task is completed."""
    ended = {"status": "completed", "finished_at": timezone.now(), "demand": None}
    Task.objects.filter(pk=one.task_id or 0).update(**ended)
    return one


def merged(one: Slice) -> Slice:
    """Its work is in the goal's branch."""
    done(handed_in(one))
    Merge.objects.create(
        goal=one.goal, slice=one, head="a" * 40, onto="b" * 40, status="landed", ended_at=timezone.now()
    )
    one.merged_commit, one.merged_at = "c" * 40, timezone.now()
    one.save()
    return one
