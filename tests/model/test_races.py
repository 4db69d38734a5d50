"""Two connections at the same moment, over and over, on the database that allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connection

from apps.events import hints
from apps.events.models import Event
from apps.events.refused import Invalid
from apps.tasks import actions, attempts, wake
from apps.tasks.actions import Submission
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task
from tests import cast
from tests.model.crew import Crew
from tests.model.invariants import broken

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
ROUNDS = 15


@pytest.fixture
def crew(transactional_db: None) -> Iterator[Crew]:
    found = Crew(2)
    yield found
    found.dismiss()


@pytest.fixture(autouse=True)
def no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "send", lambda _: None)


@pytest.fixture
def no_quick_matching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_match", lambda: None)


@pytest.fixture(autouse=True)
def every_invariant_holds(transactional_db: None, settings: Any) -> Iterator[None]:
    yield
    assert [] == broken(connection, max_reclaims=settings.MAX_RECLAIMS)


def meanwhile(crew: Crew, module: object, name: str, deed: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Let somebody else do and commit `deed` right after `module.name` has returned for the first time."""
    real = getattr(module, name)
    left = [deed]

    def then_the_other(*args: Any, **kwargs: Any) -> Any:
        returned = real(*args, **kwargs)
        if left:
            crew.do([left.pop()])
        return returned

    patch.setattr(module, name, then_the_other)


@pytest.mark.parametrize(("tasks", "agents"), [(8, 4), (4, 8), (6, 6)])
def test_two_matchers_at_once_give_every_agent_one_task_and_every_task_one_agent(
    crew: Crew, no_quick_matching: None, tasks: int, agents: int
) -> None:
    for _ in range(agents):
        cast.agent()
    for _ in range(ROUNDS):
        for _ in range(tasks):
            cast.queued_task()
        crew.do([match, match])

        held = list(Attempt.objects.open().values_list("task_id", "agent_id"))
        assert min(tasks, agents) == len(held) == len({task for task, _ in held}) == len({agent for _, agent in held})
        for attempt in Attempt.objects.open():
            attempts.complete(cast.fence(attempt), {}, [])
        for task in Task.objects.filter(status=TaskStatus.QUEUED):
            actions.cancel(task, by="tests")


def test_two_matchers_at_once_never_overfill_a_repository(crew: Crew, no_quick_matching: None) -> None:
    narrow = cast.repo(max_running=2)
    for _ in range(4):
        cast.agent()
    for _ in range(ROUNDS):
        for _ in range(4):
            cast.queued_task(repo=narrow)
        crew.do([match, match])

        assert 2 == Attempt.objects.open().filter(repo=narrow).count()
        for task in Task.objects.filter(finished_at__isnull=True):
            actions.cancel(task, by="tests")


def test_two_prerequisites_completed_at_once_never_strand_the_one_that_waits_for_both(crew: Crew) -> None:
    for _ in range(3):
        cast.agent()
    for _ in range(ROUNDS):
        first, second = (cast.queued_task() for _ in range(2))
        both = cast.queued_task(depends_on=[first.pk, second.pk])
        fences = [cast.fence(Attempt.objects.open().get(task=task)) for task in (first, second)]
        crew.do([partial(attempts.complete, fence, {}, []) for fence in fences])

        attempts.complete(cast.fence(Attempt.objects.open().get(task=both)), {}, [])


def test_a_task_submitted_while_its_prerequisite_completes_is_never_left_waiting(crew: Crew) -> None:
    cast.agent()
    for _ in range(ROUNDS):
        before = cast.queued_task()
        fence = cast.fence(Attempt.objects.open().get(task=before))
        crew.do(
            [
                partial(attempts.complete, fence, {}, []),
                partial(cast.queued_task, "after", depends_on=[before.pk]),
            ]
        )

        attempts.complete(cast.fence(cast.assigned(Task.objects.get(title="after", finished_at=None))), {}, [])


def test_one_key_submitted_on_two_connections_makes_one_task(crew: Crew) -> None:
    for number in range(ROUNDS):
        wanted = Submission(title="once", command="true", idempotency_key=f"key-{number}")
        crew.do([partial(actions.submit, wanted, by="tests")] * 2)

    assert ROUNDS == Task.objects.count()


def test_two_edges_that_would_close_a_circle_are_not_both_taken(crew: Crew) -> None:
    refused: list[Invalid] = []

    def add(task: Task, prerequisite: Task) -> None:
        try:
            actions.add_prerequisite(task, prerequisite.pk, by="tests")
        except Invalid as circle:
            refused.append(circle)

    for _ in range(ROUNDS):
        a, b = cast.queued_task(), cast.queued_task()
        crew.do([partial(add, a, b), partial(add, b, a)])

    assert ROUNDS == len(refused)


@pytest.mark.parametrize("ending", ["cancel", "expire"])
def test_a_task_that_is_assigned_while_it_is_being_ended_leaves_no_open_attempt(
    crew: Crew, no_quick_matching: None, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    cast.agent()
    task = cast.queued_task()
    meanwhile(crew, actions, "_close_attempt", match, monkeypatch)
    if ending == "cancel":
        actions.cancel(task, by="tests")
    else:
        actions.expire(task, "too late")

    assert cast.status_of(task) in (TaskStatus.CANCELLED, TaskStatus.DEAD)
    assert not Attempt.objects.open().exists()
    assert 1 == Event.objects.filter(kind="task.assigned").count()


def test_submitting_after_a_task_that_is_being_assigned_in_a_narrow_repository_is_no_deadlock(
    crew: Crew, no_quick_matching: None
) -> None:
    narrow = cast.repo(max_running=1)
    cast.agent()
    for _ in range(ROUNDS):
        before = cast.queued_task(repo=narrow)
        crew.do(
            [
                match,
                partial(cast.queued_task, repo=narrow, depends_on=[before.pk]),
            ]
        )
        for task in Task.objects.filter(finished_at__isnull=True):
            actions.cancel(task, by="tests")
