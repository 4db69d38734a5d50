"""Fills a hub's database with a backlog or a past, by plain inserts; run inside the hub's Django."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from apps.tasks import queue
from apps.tasks.models import Task

AT_ONCE = 5_000


def backlog(count: int) -> None:
    """So many queued tasks that the agents could take, in the lowest lane."""
    probe = Task(executor="shell", capabilities=[])
    demand, now = queue.demand_of(probe), timezone.now()
    _add(count, lambda n: {"status": "queued", "lane": 3, "rank": now.timestamp() + 10_000 + n, "demand_id": demand})


def past(count: int) -> None:
    """So many completed tasks."""
    ended = timezone.now() - timedelta(days=1)
    _add(count, lambda _: {"status": "completed", "finished_at": ended})


def _add(count: int, facts: object) -> None:
    assert callable(facts)
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(count, start + AT_ONCE))
        Task.objects.bulk_create(
            [Task(title=f"seed {n}", command="true", executor="shell", **facts(n)) for n in numbers]
        )
    if connection.vendor == "postgresql":  # what autovacuum would do within a minute; it may be off where this runs
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
