"""Which goals may begin, and how many there are of each kind. Reads only, and only what is not finished.

What the hub wants of itself is counted apart (`own`): it goes on beside what people want, and takes no place from it.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from apps.goals.lifecycle import ACTIVE, GoalStatus
from apps.goals.models import OWN, Dependency, Goal, GoalQuerySet

AWAITING_APPROVAL = Q(status=GoalStatus.DECOMPOSING, needs_approval=True, approved_at__isnull=True, plan__isnull=False)
OWN_AT_ONCE = 1
"""Goals of the hub's own that go on at a time, whatever people want besides."""


def startable(*, room: int, own: bool = False) -> list[Goal]:
    """The first `room` goals whose turn it is: the highest lane first, then the oldest."""
    found = _of(_startable(), own=own).select_related("repo").order_by("lane", "id")
    return list(found[: max(0, room)])


def pending(*, own: bool = False) -> int:
    """How many goals could begin now."""
    return _of(_startable(), own=own).count()


def active(*, own: bool = False) -> int:
    """How many goals the hub has begun and goes on with by itself; those of a paused repository take no place."""
    going_on = Goal.objects.unfinished().filter(status__in=ACTIVE, repo__paused=False)
    return _of(going_on.exclude(AWAITING_APPROVAL), own=own).count()


def waiting_for_people() -> int:
    """How many goals go on only when a person decides."""
    waiting = Q(status=GoalStatus.NEEDS_REVIEW) | AWAITING_APPROVAL
    return Goal.objects.unfinished().filter(waiting).count()


def _of(goals: GoalQuerySet, *, own: bool) -> GoalQuerySet:
    return goals.filter(source__in=OWN) if own else goals.exclude(source__in=OWN)


def _startable() -> GoalQuerySet:
    missing = Dependency.objects.filter(goal=OuterRef("pk"), prerequisite__landed_at__isnull=True)
    waiting = Goal.objects.unfinished().filter(status=GoalStatus.SUBMITTED, repo__paused=False)
    return waiting.filter(~Exists(missing))
