"""What time brings about, and what the sweep and the matcher cost as the queue grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.agents.models import Agent
from apps.events.refused import Stale
from apps.repos.models import Repo
from apps.tasks import attempts, roster
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.matching import pair
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Demand, Task
from apps.tasks.sweep import sweep
from tests import cast

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_sweep_that_finds_nothing_does_nothing() -> None:
    cast.agent()
    attempt = cast.working(cast.queued_task())

    assert not sweep()
    assert Outcome.OPEN == cast.outcome_of(attempt)


def test_a_task_that_has_rested_stands_where_it_stood() -> None:
    cast.agent()
    task = cast.queued_task()
    rank = cast.fresh(task).rank
    attempts.fail(cast.fence(cast.working(task)), "command_failed", "no")
    assert cast.fresh(task).demand_id is None
    assert 0 == sweep().rested  # its wait is not over

    cast.rest(task)

    assert 1 == sweep().rested
    assert rank == cast.fresh(task).rank


def test_the_queue_has_a_time_limit_only_when_it_is_set(settings: Any) -> None:
    task = cast.queued_task()
    first = cast.queued_task()
    waiting = cast.queued_task(depends_on=[first.pk])
    Task.objects.exclude(pk=first.pk).update(queued_at=Now() - timedelta(hours=2))
    assert not sweep()

    settings.QUEUE_TTL = timedelta(hours=1)

    assert 1 == sweep().expired
    assert TaskStatus.DEAD == cast.status_of(task)
    assert TaskStatus.WAITING == cast.status_of(waiting)  # waiting for others is not waiting in the queue


def test_a_paused_or_full_repository_gives_no_work_until_it_may() -> None:
    for _ in range(3):
        cast.agent()
    repo = cast.repo(max_running=1)
    first, second = cast.queued_task(repo=repo), cast.queued_task(repo=repo)
    Repo.objects.update(paused=True)
    assert 0 == match()
    Repo.objects.update(paused=False)
    assert 1 == match()
    assert TaskStatus.QUEUED == cast.status_of(second)

    attempts.release(cast.fence(Attempt.objects.open().get(task=first)), "drained", "")

    assert 1 == match()
    assert TaskStatus.ASSIGNED == cast.status_of(second)


def test_a_matcher_that_looked_too_early_does_not_overfill_a_repository() -> None:
    for _ in range(2):
        cast.agent()
    repo = cast.repo(max_running=1)
    for _ in range(2):
        cast.queued_task(repo=repo)
    (idle,) = roster.idle_workers()
    heads = [
        replace(head, room=None) for head in roster.heads(roster.waiting(), idle)
    ]  # as they were before somebody set the limit
    first, second = pair(heads, idle)
    attempts.assign(first)

    with pytest.raises(Stale, match="no more work"):
        attempts.assign(second)


def test_only_agents_without_work_are_idle() -> None:
    ada, ben = cast.agent("ada"), cast.agent("ben")
    cast.assigned(cast.queued_task(target=ada))

    assert [[ben.pk]] == [[worker.id for worker in chunk] for chunk in roster.idle_workers()]


def test_work_is_spread_over_equal_agents() -> None:
    agents = [cast.agent() for _ in range(4)]
    for _ in range(12):
        attempts.complete(cast.fence(cast.assigned(cast.queued_task())), {}, [])

    shares = [Attempt.objects.filter(agent=agent).count() for agent in agents]
    assert [3, 3, 3, 3] == shares


def test_an_urgent_task_goes_before_all_that_came_shortly_before_it() -> None:
    cast.agent()
    for lane in (3, 2, 1, 0):
        cast.queued_task(lane=lane)
    order = []
    for _ in range(4):
        match()
        attempt = Attempt.objects.open().select_related("task").get()
        order.append(attempt.task.lane)
        attempts.complete(cast.fence(attempt), {}, [])

    assert [0, 1, 2, 3] == order


# --- flat -------------------------------------------------------------------------------------------------------------


def backlog(count: int, **fields: Any) -> None:
    """`count` queued tasks like the one that is there, behind it in line."""
    pattern = Task.objects.exclude(demand=None).order_by("pk")[0]
    pattern.rank += 1
    for name, value in fields.items():
        setattr(pattern, name, value)
    values = {
        field.attname: getattr(pattern, field.attname) for field in Task._meta.concrete_fields if field.name != "id"
    }
    Task.objects.bulk_create([Task(**values) for _ in range(count)], batch_size=500)


def queries_of_one_match() -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert 1 == match()
    return len(seen)


def test_a_match_asks_the_database_as_often_with_a_long_queue_as_with_a_short_one() -> None:
    cast.agent()
    cast.queued_task()
    short = queries_of_one_match()
    attempts.complete(cast.fence(Attempt.objects.open().get()), {}, [])
    cast.queued_task()
    backlog(2_000)
    backlog(1_000, status=TaskStatus.COMPLETED, demand_id=None, finished_at=NOON)

    assert short == queries_of_one_match()


def test_the_matcher_reads_no_more_tasks_than_there_are_idle_agents() -> None:
    workers = [cast.agent() for _ in range(2)]
    cast.queued_task()
    backlog(500)
    (idle,) = roster.idle_workers()

    assert len(workers) == len(roster.heads(roster.waiting(), idle))


def plan(rows: QuerySet[Any]) -> str:
    """How the database would look for `rows`. PostgreSQL keeps statistics by itself, SQLite has none."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return rows.explain()


def history(count: int) -> None:
    """`count` attempts that ended long ago, all of one agent in one repository at one task."""
    task, ada, repo = cast.queued_task(), cast.agent(), cast.repo()
    facts: dict[str, Any] = {"task": task, "agent": ada, "repo": repo, "outcome": Outcome.RELEASED, "lease_until": NOON}
    Attempt.objects.bulk_create(
        [Attempt(generation=n, assigned_at=NOON, ended_at=NOON, **facts) for n in range(1, count + 1)], batch_size=500
    )
    Task.objects.filter(pk=task.pk).update(generation=count)


def head_of_a_demand() -> QuerySet[Any]:
    demand = Demand.objects.get()
    return Task.objects.filter(demand=demand.pk).order_by("rank", "id").values_list("pk")[:4]


OPEN_ATTEMPTS = {"one_open_attempt_per_task", "one_open_attempt_per_agent", "attempt_running_in_repo", "attempt_lease"}
"""Each holds the open attempts only, of which there are as many as busy agents; the planner may take any."""

LOOKS: dict[str, tuple[Callable[[], QuerySet[Any]], str]] = {
    "the head of a demand": (head_of_a_demand, "task_demand_head"),
    "the open attempt of a task": (
        lambda: Attempt.objects.open().filter(task=Task.objects.order_by("pk")[0]),
        "one_open_attempt_per_task",
    ),
    "the open attempt of an agent": (
        lambda: Attempt.objects.open().filter(agent=Agent.objects.get()),
        "one_open_attempt_per_agent",
    ),
    "lapsed leases": (lambda: Attempt.objects.lapsed().order_by("lease_until")[:200], "attempt_lease"),
    "what runs in a repository": (
        lambda: Attempt.objects.open().filter(repo=Repo.objects.get()),
        "attempt_running_in_repo",
    ),
    "what has rested": (lambda: Task.objects.rested().order_by("not_before")[:200], "task_resting"),
    "what is overdue": (lambda: Task.objects.overdue().order_by("complete_by")[:200], "task_deadline"),
}


@pytest.mark.parametrize("look", list(LOOKS))
def test_a_frequent_look_goes_through_its_own_index(look: str) -> None:
    history(3_000)
    backlog(3_000)
    attempts.accept(cast.fence(cast.assigned(Task.objects.order_by("pk")[0])))
    rows, own = LOOKS[look]
    good = OPEN_ATTEMPTS if own in OPEN_ATTEMPTS else {own}

    found = plan(rows())
    assert any(index in found for index in good), found
