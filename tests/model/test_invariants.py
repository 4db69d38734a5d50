"""The auditor sees what it should: a queue that was tampered with breaks the sentence that it ought to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.db import connection
from django.db.models.functions import Now

from apps.events.models import Event
from apps.tasks import attempts
from apps.tasks.models import Attempt, Dependency, Task
from tests import cast
from tests.model.invariants import broken

pytestmark = pytest.mark.django_db(transaction=True)


def tasks(task: Task, **values: Any) -> None:
    Task.objects.filter(pk=task.pk).update(**values)


class Scene(NamedTuple):
    """A task in each of three places, before anybody tampers with them."""

    queued: Task
    held: Task
    done: Task


TAMPERED: dict[str, Callable[[Scene], object]] = {
    "I1: a task was submitted once": lambda s: Event.objects.filter(
        subject=f"task/{s.queued.pk}", kind="task.submitted"
    ).delete(),
    "I1: a queued task is in a demand, or rests": lambda s: tasks(s.queued, demand=None),
    "I2: a task is held exactly": lambda _: Attempt.objects.open().update(outcome="failed", ended_at=Now()),
    "I3: a task's generation": lambda s: tasks(s.held, generation=7),
    "I4: a completed task has one accepted result": lambda s: Attempt.objects.filter(task=s.done).update(
        outcome="failed"
    ),
    "I4: a task is completed once": lambda _: Event.objects.filter(kind="task.completed").delete(),
    "I5: nothing moves a task": lambda s: Event.objects.create(kind="task.retried", subject=f"task/{s.done.pk}"),
    "I6: failures are counted": lambda s: tasks(s.held, failures=1),
    "I6: reclaims are counted": lambda s: tasks(s.held, reclaims=1),
    "I10: no task is queued": lambda s: Dependency.objects.create(task=s.held, prerequisite=s.queued),
    "I10: a waiting task waits": lambda s: tasks(s.queued, status="waiting", demand=None),
    "I10: a task is stranded": lambda s: tasks(s.queued, stranded=True),
    "I10: no task waits for itself": lambda s: Dependency.objects.bulk_create(
        [Dependency(task=s.queued, prerequisite=s.held), Dependency(task=s.held, prerequisite=s.queued)]
    ),
    "I13: a task stands where": lambda s: tasks(s.held, status="blocked"),
    "I13: every attempt was announced": lambda _: Event.objects.filter(kind="task.assigned").delete(),
}


@pytest.mark.parametrize("sentence", list(TAMPERED))
def test_a_broken_invariant_is_named(sentence: str) -> None:
    cast.agent()
    done = cast.queued_task()
    attempts.complete(cast.fence(cast.working(done)), {}, [])
    held, queued = cast.queued_task(), cast.queued_task()
    cast.working(held)
    assert [] == broken(connection, max_reclaims=5)

    TAMPERED[sentence](Scene(queued, held, done))

    assert any(found.startswith(sentence) for found in broken(connection, max_reclaims=5))


def test_a_repository_that_runs_too_much_is_named() -> None:
    repo = cast.repo()
    for _ in range(2):
        cast.agent()
        cast.assigned(cast.queued_task(repo=repo))
    type(repo).objects.update(max_running=1)

    assert [f"I14: a repository runs no more tasks than it may: broken by [{repo.pk}]"] == broken(
        connection, max_reclaims=5
    )
