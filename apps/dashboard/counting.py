"""Counting that costs the same however much there is: beyond a cap it is "1000+"."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.forge.lifecycle import PullStatus
from apps.forge.models import PullRequest
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Lane, Task

CAP = 1_000


@dataclass(frozen=True)
class Count:
    """`at_least` rows; `more` when there are more than were counted."""

    at_least: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.at_least}+" if self.more else str(self.at_least)

    def __bool__(self) -> bool:
        return self.at_least > 0 or self.more


def capped(rows: QuerySet[Any], cap: int = CAP) -> Count:
    """How many rows there are, as far as `cap`."""
    found = rows.order_by()[: cap + 1].count()
    return Count(min(found, cap), more=found > cap)


def waiting_pulls() -> QuerySet[PullRequest]:
    """Pull requests that wait for a person."""
    # By ended_at as well, because only what has not ended is in an index.
    return PullRequest.objects.filter(status=PullStatus.OPEN, ended_at__isnull=True)


def newest_waiting_pulls(number: int) -> list[int]:
    """Their ids, newest first. Read in the order of the index of what is open, then put in this one."""
    found = waiting_pulls().order_by("repo_id", "branch").values_list("pk", flat=True)[:CAP]
    return sorted(found, reverse=True)[:number]


def dead_letter() -> QuerySet[Task]:
    """Tasks that ran out of attempts. A verification's failure shows on its pull request."""
    return Task.objects.changes().filter(status=TaskStatus.DEAD)


def stranded_tasks() -> QuerySet[Task]:
    """Among the newest waiting tasks, those whose prerequisite was lost."""
    waiting = Task.objects.filter(status=TaskStatus.WAITING).order_by("-id").values("pk")[:CAP]
    return Task.objects.filter(pk__in=waiting, stranded=True)


@dataclass(frozen=True)
class LaneCount:
    """How many tasks stand in one lane."""

    lane: Lane
    count: Count


def lanes() -> list[LaneCount]:
    """Queued tasks per lane. Counted among the first of the queue; when it is longer, each is a lower bound."""
    front = Task.objects.filter(status=TaskStatus.QUEUED).order_by("id").values_list("lane", flat=True)[: CAP + 1]
    tally = Counter(front)
    more = tally.total() > CAP
    return [LaneCount(lane, Count(tally[lane.value], more)) for lane in Lane]
