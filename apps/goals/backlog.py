"""Which goals may begin, and how many there are of each kind. Reads only, and only what is not finished."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from apps.goals.lifecycle import ACTIVE, GoalStatus
from apps.goals.models import Dependency, Goal, GoalQuerySet

AWAITING_APPROVAL = Q(status=GoalStatus.DECOMPOSING, needs_approval=True, approved_at__isnull=True, plan__isnull=False)


def startable(*, room: int) -> list[Goal]:
    """The first `room` goals whose turn it is: the highest lane first, then the oldest."""
    return list(_startable().select_related("repo").order_by("lane", "id")[: max(0, room)])


def pending() -> int:
    """How many goals could begin now."""
    return _startable().count()


def active() -> int:
    """How many goals the hub has begun and goes on with by itself; those of a paused repository take no place."""
    going_on = Goal.objects.unfinished().filter(status__in=ACTIVE, repo__paused=False)
    return going_on.exclude(AWAITING_APPROVAL).count()


def waiting_for_people() -> int:
    """How many goals go on only when a person decides."""
    waiting = Q(status=GoalStatus.NEEDS_REVIEW) | AWAITING_APPROVAL
    return Goal.objects.unfinished().filter(waiting).count()


def _startable() -> GoalQuerySet:
    missing = Dependency.objects.filter(goal=OuterRef("pk"), prerequisite__landed_at__isnull=True)
    waiting = Goal.objects.unfinished().filter(status=GoalStatus.SUBMITTED, repo__paused=False)
    return waiting.filter(~Exists(missing))
