"""The safety net: what time brings about, and what a quick reaction may have missed. Safe to run anywhere, at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.events.refused import Stale
from apps.tasks import actions, dependencies, fallback, queue
from apps.tasks.attempts import Fence, reclaim
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Door, Task

logger = structlog.get_logger(__name__)
P = ParamSpec("P")
AT_ONCE = 200


@dataclass
class Swept:
    """How many of each a sweep found and dealt with."""

    reclaimed: int = 0
    expired: int = 0
    rested: int = 0
    restored: int = 0
    bypassed: int = 0
    widened: int = 0
    released: int = 0
    matched: int = 0

    def __bool__(self) -> bool:
        return any(vars(self).values())


def sweep(*, door_open: bool = True) -> Swept:
    """Take back what lapsed, bury what is overdue, line up what has rested, reroute what waits, and match.

    Nothing is taken back while the door is shut: agents that could not reach the hub are not silent.
    """
    done = Swept(
        reclaimed=_reclaim_lapsed() if door_open else 0,
        expired=_expire_overdue(),
        rested=_line_up_rested(),
        restored=fallback.restore(),
        bypassed=fallback.bypass(),
        widened=fallback.widen(),
    )
    done.matched = match()
    if done:
        logger.info("swept", **vars(done))
    return done


def sweep_deeply() -> Swept:
    """The same, and look for waiting tasks that wait for nothing; for the clock, once a minute."""
    released = sum(_unless_raced(dependencies.ready, task) for task in dependencies.overlooked())
    done = sweep(door_open=door_is_open())
    done.released = released
    return done


def hold_door_open() -> bool:
    """Say that this web process can be reached; True when the door had been open all the time.

    After the hub was away (killed, stopped, without its database), every open lease gets a fresh turn, so that agents
    that worked on meanwhile can come back to it.
    """
    if Door.objects.filter(pk=1, at__gt=Now() - _gap()).update(at=Now()):
        return True
    with transaction.atomic():
        fresh = Now() + settings.LEASES["working"]
        given = Attempt.objects.open().filter(lease_until__lt=fresh).update(lease_until=fresh)
        Door.objects.update_or_create(pk=1, defaults={"at": Now()})
    logger.info("the door was shut; leases start anew", attempts=given)
    return False


def door_is_open() -> bool:
    """Whether some web process stood open just now."""
    return Door.objects.filter(pk=1, at__gt=Now() - _gap()).exists()


def _gap() -> timedelta:
    return timedelta(seconds=3 * settings.SWEEP_SECONDS + 2)


def _reclaim_lapsed() -> int:
    lapsed = Attempt.objects.lapsed().select_related("agent").order_by("lease_until")[:AT_ONCE]
    return sum(
        _unless_raced(
            reclaim, Fence(attempt.task_id, attempt.pk, attempt.agent_id), f"{attempt.agent.name} fell silent."
        )
        for attempt in lapsed
    )


def _expire_overdue() -> int:
    overdue = Task.objects.overdue().order_by("complete_by")[:AT_ONCE]
    count = sum(_unless_raced(actions.expire, task, "Its deadline passed.") for task in overdue)
    if settings.QUEUE_TTL:
        queued = Task.objects.filter(status=TaskStatus.QUEUED, queued_at__lte=Now() - settings.QUEUE_TTL)
        for task in queued.order_by("queued_at")[:AT_ONCE]:
            count += _unless_raced(actions.expire, task, "No agent took it in time.", only_queued=True)
    return count


def _line_up_rested() -> int:
    count = 0
    for task in Task.objects.rested().order_by("not_before")[:AT_ONCE]:
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
