"""What finished slices cost and how long they took, for the estimate of the next plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db.models import Sum

from apps.goals.estimate import Past, Piece, estimate
from apps.goals.models import Slice
from apps.ledger.models import Charge

READ = 50
"""The newest slices that were merged; older ones were done by other models, on other machines."""


def past() -> list[Past]:
    """Two queries, however many slices there ever were."""
    newest = Slice.objects.filter(merged_at__isnull=False, task__isnull=False).select_related("task").order_by("-id")
    merged = list(newest[:READ])
    costs = Charge.objects.filter(task__in=[str(one.task_id) for one in merged]).order_by()
    micro = dict(costs.values_list("task").annotate(all=Sum("cost_micro")))
    return [_past(one, int(micro.get(str(one.task_id)) or 0)) for one in merged]


def _past(one: Slice, micro: int) -> Past:
    assert one.task is not None
    assert one.merged_at is not None
    seconds = (one.merged_at - one.task.created_at).total_seconds()
    return Past(tier=one.tier or one.task.tier, micro=micro, seconds=max(0.0, seconds))


def expected(slices: Sequence[Slice]) -> dict[str, Any]:
    """What is kept as a plan's estimate: `micro` and `seconds` with low, middle and high; empty without a history."""
    pieces = [Piece(number=one.number, tier=one.tier, after=tuple(one.after)) for one in slices]
    found = estimate(pieces, past())
    return {} if found is None else asdict(found)
