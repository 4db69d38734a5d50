"""What finished slices cost and how long they took, for the estimate of the next plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.db.models import Sum

from apps.goals.estimate import Past, Piece, estimate
from apps.goals.models import Slice
from apps.ledger.models import Charge
from apps.tasks.models import Task, Work

READ = 50
"""The newest slices that were merged; older ones were done by other models, on other machines."""


def past() -> list[Past]:
    """Three queries, however many slices there ever were."""
    newest = Slice.objects.filter(merged_at__isnull=False, task__isnull=False).select_related("task").order_by("-id")
    merged = list(newest[:READ])
    tasks = _tasks(merged)
    every = [*(str(task.pk) for each in tasks.values() for task in each), *(str(one.task_id) for one in merged)]
    costs = Charge.objects.filter(task__in=every).order_by().values_list("task").annotate(all=Sum("cost_micro"))
    micro = {int(task): int(cost or 0) for task, cost in costs}
    return [_past(one, tasks[one.goal_id, one.number], micro) for one in merged]


def _tasks(slices: Sequence[Slice]) -> Mapping[tuple[int, int], Sequence[Task]]:
    """Every task of each slice, by its goal and number: what came back from a merge cost as well."""
    found: dict[tuple[int, int], list[Task]] = {(one.goal_id, one.number): [] for one in slices}
    tasks = Task.objects.filter(goal__in={one.goal_id for one in slices}, work=Work.CHANGE)
    for task in tasks.only("goal", "metadata", "created_at"):
        if "pull_request" in task.metadata:  # asked for by a person who looked at the whole
            continue
        if (of := (task.goal or 0, task.metadata.get("slice", 0))) in found:
            found[of].append(task)
    return found


def _past(one: Slice, tasks: Sequence[Task], micro: Mapping[int, int]) -> Past:
    assert one.task is not None
    assert one.merged_at is not None
    began = min(task.created_at for task in (*tasks, one.task))
    return Past(
        tier=one.tier or one.task.tier,
        micro=sum(micro.get(pk, 0) for pk in {task.pk for task in (*tasks, one.task)}),
        seconds=max(0.0, (one.merged_at - began).total_seconds()),
    )


def expected(slices: Sequence[Slice]) -> dict[str, Any]:
    """What is kept as a plan's estimate: `micro` and `seconds` with low, middle and high; empty without a history."""
    pieces = [Piece(number=one.number, tier=one.tier, after=tuple(one.after)) for one in slices]
    found = estimate(pieces, past())
    return {} if found is None else asdict(found)
