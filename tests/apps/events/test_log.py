"""One function changes state, remembers it and tells of it: all in one commit, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django_q.models import OrmQ

from agentcom.reactions import Reaction
from apps.events import hints, log
from apps.events.kinds import Kind
from apps.events.log import hint, record, subject_of, transition
from apps.events.models import Event
from apps.events.refused import Invalid, Refused, Stale
from apps.tasks.lifecycle import TaskStatus
from tests import cast

pytestmark = pytest.mark.django_db


class Crashed(Exception):
    """The process went no further."""


def crash_after(step: Callable[[], None]) -> None:
    step()
    raise Crashed


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The groups that were hinted to."""
    groups: list[str] = []
    monkeypatch.setattr(hints, "send", groups.append)
    return groups


@pytest.fixture
def follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """One job that follows from what is buried, when it carries a `forge`."""
    table = {Kind.TASK_BURIED: (Reaction("apps.forge.jobs.take_failure", needs="forge"),)}
    monkeypatch.setattr(log, "reactions", lambda: table)


def bury(task: Any, **data: Any) -> None:
    transition(
        task,
        TaskStatus.DEAD,
        Kind.TASK_BURIED,
        set={"finished_at": task.created_at, "demand": None},
        actor="me",
        **data,
    )


def test_a_move_changes_the_row_and_the_copy_in_hand_and_is_remembered() -> None:
    task = cast.fresh(cast.queued_task())
    bury(task, reason="because")

    event = Event.objects.get(kind="task.buried")
    assert (TaskStatus.DEAD, TaskStatus.DEAD) == (task.status, cast.status_of(task))
    assert (f"task/{task.pk}", "me", {"reason": "because"}) == (event.subject, event.actor, event.data)
    assert Kind.TASK_BURIED.meaning == event.meaning
    assert subject_of(task) == event.subject


def test_a_move_that_is_not_in_the_lifecycle_is_stale_and_leaves_no_trace() -> None:
    task = cast.queued_task()
    before = Event.objects.count()

    with pytest.raises(Stale) as refused:
        transition(task, TaskStatus.COMPLETED, Kind.TASK_COMPLETED)

    assert "task_moved" == refused.value.code
    assert (TaskStatus.QUEUED, before) == (cast.status_of(task), Event.objects.count())


def test_what_counts_is_where_the_row_stands_not_the_copy_in_hand() -> None:
    task = cast.fresh(cast.queued_task())
    copy = cast.fresh(task)
    bury(task)

    with pytest.raises(Stale):
        bury(copy)

    assert 1 == Event.objects.filter(kind="task.buried").count()


def test_a_fence_narrows_a_move_further() -> None:
    task = cast.queued_task()

    with pytest.raises(Stale):
        transition(task, TaskStatus.CANCELLED, Kind.TASK_CANCELLED, where={"generation": 7})


@pytest.mark.parametrize(("forge", "jobs"), [(True, 1), (False, 0)])
def test_what_follows_is_queued_when_the_event_carries_what_it_needs(follows: None, forge: bool, jobs: int) -> None:
    bury(cast.fresh(cast.queued_task()), forge=forge)

    assert jobs == OrmQ.objects.count()


def test_event_and_jobs_vanish_with_the_change_when_the_transaction_does(follows: None) -> None:
    task = cast.fresh(cast.queued_task())
    with pytest.raises(Crashed), transaction.atomic():
        crash_after(partial(bury, task, forge=True))

    assert TaskStatus.QUEUED == cast.status_of(task)
    assert not Event.objects.filter(kind="task.buried").exists()
    assert not OrmQ.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_no_event_without_a_transaction() -> None:
    task = cast.queued_task()

    with pytest.raises(transaction.TransactionManagementError, match="in the transaction that makes it true"):
        record(Kind.TASK_SUBMITTED, task)


@pytest.mark.django_db(transaction=True)
def test_a_hint_goes_out_after_the_commit_and_not_at_all_without_one(heard: list[str]) -> None:
    with transaction.atomic():
        hint("one")
        assert [] == heard
    with pytest.raises(Crashed), transaction.atomic():
        crash_after(partial(hint, "two"))

    assert ["one"] == heard


@pytest.mark.django_db(transaction=True)
def test_a_hint_that_fails_costs_the_caller_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ConnectionError

    monkeypatch.setattr(hints, "send", fail)
    task = cast.queued_task()

    assert TaskStatus.QUEUED == cast.status_of(task)


def test_an_event_is_never_changed() -> None:
    cast.queued_task()
    event = Event.objects.latest("id")
    event.actor = "somebody else"

    with pytest.raises(TypeError, match="never changed"):
        event.save()


def test_a_refusal_says_why_in_words_and_in_a_code() -> None:
    class Full(Refused):
        """The {place} is full."""

    assert ("full", "The house is full.", 409) == (
        (full := Full("full", place="house")).code,
        full.message,
        full.status,
    )
    assert ("title", 400) == ((wrong := Invalid("title", "Too long.")).field, wrong.status)
    assert "Somebody else was faster; look again before you try again." == Stale().message
