"""The safety net: what time brings about, and what a quick reaction may have missed. Safe to run anywhere, at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.events.refused import Stale
from apps.tasks import actions, dependencies, queue
from apps.tasks.attempts import Fence, reclaim
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task

logger = structlog.get_logger(__name__)
P = ParamSpec("P")
AT_ONCE = 200


@dataclass
class Swept:
    """How many of each a sweep found and dealt with."""

    reclaimed: int = 0
    expired: int = 0
    rested: int = 0
    released: int = 0
    matched: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())


def sweep() -> Swept:
    """Take back what lapsed, bury what is overdue, put back in line what has rested, and match."""
    done = Swept(reclaimed=_reclaim_lapsed(), expired=_expire_overdue(), rested=_line_up_rested())
    done.matched = match()
    if done:
        logger.info("swept", **vars(done))
    return done


def sweep_deeply() -> Swept:
    """The same, and look for waiting tasks that wait for nothing; for the clock, once a minute."""
    released = sum(_unless_raced(dependencies.ready, task) for task in dependencies.overlooked())
    done = sweep()
    done.released = released
    return done


def _reclaim_lapsed() -> int:
    lapsed = Attempt.objects.lapsed().select_related("agent").order_by("lease_until")[:AT_ONCE]
    return sum(
        _unless_raced(
            reclaim, Fence(attempt.task_id, attempt.pk, attempt.agent_id), f"{attempt.agent.name} fell silent."
        )
        for attempt in lapsed
    )


def _expire_overdue() -> int:
    late = [(task, "Its deadline passed.") for task in Task.objects.overdue()[:AT_ONCE]]
    if settings.QUEUE_TTL:
        queued = Task.objects.filter(status=TaskStatus.QUEUED, queued_at__lte=Now() - settings.QUEUE_TTL)
        late += [(task, "No agent took it in time.") for task in queued.order_by("queued_at")[:AT_ONCE]]
    return sum(_unless_raced(actions.expire, task, why) for task, why in late)


def _line_up_rested() -> int:
    count = 0
    for task in Task.objects.rested()[:AT_ONCE]:
        resting = Task.objects.filter(pk=task.pk, status=TaskStatus.QUEUED, demand__isnull=True)
        count += resting.update(demand_id=queue.demand_of(task), not_before=None)
    return count


def _unless_raced(verb: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> int:
    """1 when `verb` did it, 0 when another worker was faster."""
    try:
        with transaction.atomic():
            verb(*args, **kwargs)
    except Stale:
        return 0
    return 1
