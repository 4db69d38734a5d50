"""Frames may come twice, and an acceptance may be lost: neither takes running work from its agent."""

from __future__ import annotations

import pytest

from apps.events.models import Event
from apps.tasks import attempts
from apps.tasks.lifecycle import TaskStatus
from tests import cast

pytestmark = pytest.mark.django_db


def test_a_block_that_is_said_twice_is_one_block_with_the_last_reason() -> None:
    cast.agent()
    task = cast.queued_task()
    attempt = cast.working(task)
    attempts.block(cast.fence(attempt), "waits for a licence")
    attempts.block(cast.fence(attempt), "waits for two licences")

    assert TaskStatus.BLOCKED == cast.status_of(task)
    assert "waits for two licences" == cast.fresh(attempt).blocked_reason
    assert 1 == Event.objects.filter(kind="task.blocked").count()


def test_going_on_without_a_block_is_a_heartbeat() -> None:
    cast.agent()
    task = cast.queued_task()
    attempt = cast.working(task)
    attempts.unblock(cast.fence(attempt))

    assert TaskStatus.WORKING == cast.status_of(task)
    assert 0 == Event.objects.filter(kind="task.unblocked").count()


def test_a_block_whose_acceptance_was_lost_accepts_first() -> None:
    cast.agent()
    task = cast.queued_task()
    attempt = cast.assigned(task)
    attempts.block(cast.fence(attempt), "waits")

    assert TaskStatus.BLOCKED == cast.status_of(task)
    kinds = list(Event.objects.filter(subject=f"task/{task.pk}").values_list("kind", flat=True))
    assert ["task.accepted", "task.blocked"] == kinds[-2:]


def test_an_attempt_that_is_resumed_keeps_the_moment_of_its_acceptance() -> None:
    cast.agent()
    attempt = cast.working(cast.queued_task())
    attempts.accept(cast.fence(attempt))

    assert attempt.accepted_at == cast.fresh(attempt).accepted_at
