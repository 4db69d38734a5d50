"""What the database itself refuses, whatever the code above it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.tasks.models import Attempt, Dependency, Task
from tests import cast

pytestmark = pytest.mark.django_db


def attempt(task: Task, agent: Any, generation: int, **facts: Any) -> Attempt:
    return Attempt.objects.create(task=task, agent=agent, generation=generation, lease_until=Now(), **facts)


def second_open_attempt_of_a_task(a: Task, b: Task) -> None:
    attempt(a, cast.agent(), 1)
    attempt(a, cast.agent(), 2)


def second_open_attempt_of_an_agent(a: Task, b: Task) -> None:
    ada = cast.agent()
    attempt(a, ada, 1)
    attempt(b, ada, 1)


def second_attempt_of_a_generation(a: Task, b: Task) -> None:
    attempt(a, cast.agent(), 1, outcome="failed", ended_at=Now())
    attempt(a, cast.agent(), 1)


def an_outcome_without_an_end(a: Task, b: Task) -> None:
    attempt(a, cast.agent(), 1, outcome="succeeded")


def an_end_without_an_outcome(a: Task, b: Task) -> None:
    attempt(a, cast.agent(), 1, ended_at=Now())


def an_unknown_outcome(a: Task, b: Task) -> None:
    attempt(a, cast.agent(), 1, outcome="won", ended_at=Now())


def an_unknown_status(a: Task, b: Task) -> None:
    Task.objects.filter(pk=a.pk).update(status="lost", demand=None)


def final_without_an_end(a: Task, b: Task) -> None:
    Task.objects.filter(pk=a.pk).update(status="completed", demand=None)


def an_end_without_being_final(a: Task, b: Task) -> None:
    Task.objects.filter(pk=a.pk).update(finished_at=Now())


def held_and_still_in_line(a: Task, b: Task) -> None:
    Task.objects.filter(pk=a.pk).update(status="assigned")


def a_dependency_on_itself(a: Task, b: Task) -> None:
    Dependency.objects.create(task=a, prerequisite=a)


def the_same_dependency_twice(a: Task, b: Task) -> None:
    for _ in range(2):
        Dependency.objects.create(task=a, prerequisite=b)


def two_tasks_of_one_key(a: Task, b: Task) -> None:
    Task.objects.update(idempotency_key="one")


WRONGS = (
    second_open_attempt_of_a_task,
    second_open_attempt_of_an_agent,
    second_attempt_of_a_generation,
    an_outcome_without_an_end,
    an_end_without_an_outcome,
    an_unknown_outcome,
    an_unknown_status,
    final_without_an_end,
    an_end_without_being_final,
    held_and_still_in_line,
    a_dependency_on_itself,
    the_same_dependency_twice,
    two_tasks_of_one_key,
)


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
def test_the_database_says_no(wrong: Callable[[Task, Task], None]) -> None:
    a, b = cast.queued_task(), cast.queued_task()

    with pytest.raises(IntegrityError), transaction.atomic():
        wrong(a, b)
