"""Two people, or a person and the hub, at one goal in the same moment, on the database that allows it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from apps.events import waits
from apps.events.refused import Refused
from apps.goals import actions, dependencies, own
from apps.tasks.models import Task
from tests import cast
from tests.apps.goals import planning

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def together(*works: Callable[[], object]) -> list[str]:
    """What refused each of them, each in a thread of its own; an error of the database by its name."""
    ended = [""] * len(works)

    def run(at: int, work: Callable[[], object]) -> None:
        try:
            work()
        except Refused as refused:
            ended[at] = refused.code
        except DatabaseError as failed:
            ended[at] = type(failed).__name__
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return ended


def until_another_waits() -> None:
    """Until somebody else's statement waits for a lock; a while, because without a lock to wait for nobody would."""
    onlooker = connection.copy()
    ends = time.monotonic() + 10
    with contextlib.closing(onlooker), onlooker.cursor() as cursor:
        while time.monotonic() < ends:
            cursor.execute(
                "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE NOT granted AND datname = current_database()"
            )
            if cursor.fetchone():
                return
            time.sleep(0.01)


def test_a_goal_that_is_made_to_wait_in_the_moment_of_its_turn_does_not_begin() -> None:
    cast.repo("sample")
    first, second = planning.goal("First"), planning.goal("Second")
    edited = threading.Event()

    def edit() -> None:
        with transaction.atomic():
            actions.edit(second, by="ann", depends_on=[first.pk])
            edited.set()
            until_another_waits()

    def begin() -> None:
        edited.wait(10)
        actions.begin(second)

    assert ["", "goal_waits"] == together(edit, begin)
    assert "submitted" == cast.fresh(second).status


def test_two_who_tie_their_goals_to_each_others_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    cast.repo("sample")
    first, second, third = (planning.goal(title) for title in ("First", "Second", "Third"))
    real, looking = waits.reaches, threading.Event()

    def slowly(*args: Any) -> bool:
        if not looking.is_set():
            looking.set()
            until_another_waits()
        return real(*args)

    def edit_second() -> None:
        looking.wait(10)
        actions.edit(second, by="bob", depends_on=[third.pk])

    monkeypatch.setattr(waits, "reaches", slowly)
    ended = together(lambda: actions.edit(first, by="ann", depends_on=[second.pk]), edit_second)

    assert ["", ""] == ended
    assert ([second.pk], [third.pk]) == (dependencies.missing(first), dependencies.missing(second))


def test_what_an_agent_is_given_in_the_moment_of_a_pause_goes_on() -> None:
    cast.repo("sample")
    goal = planning.goal("Mend it", status="executing", source="healing", fingerprint="x")
    (one,) = planning.plan(goal, {1: []})
    task = planning.handed_in(one).task
    assert task is not None
    given, taken = threading.Event(), list[int]()

    def assign() -> None:
        with transaction.atomic():
            Task.objects.filter(pk=task.pk).update(status="assigned", demand=None, generation=1)
            given.set()
            until_another_waits()

    def withdraw() -> None:
        given.wait(10)
        taken.append(own.withdraw())

    assert ["", ""] == together(assign, withdraw)
    assert [0] == taken
    assert ("assigned", task.pk) == (cast.fresh(task).status, cast.fresh(one).task_id)
