"""The clock is what agentcom/schedules.py says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule, Success

from agentcom.schedules import SCHEDULES, Every
from apps.ops import clock, jobs

pytestmark = pytest.mark.django_db


def test_the_clock_is_made_equal_to_the_table_and_then_left_alone() -> None:
    Schedule.objects.create(name="of.yesterday", func="of.yesterday", minutes=1, schedule_type=Schedule.MINUTES)

    assert len(SCHEDULES) + 1 == len(clock.equal_to(SCHEDULES))
    assert {entry.job for entry in SCHEDULES} == set(Schedule.objects.values_list("name", flat=True))
    assert [] == clock.equal_to(SCHEDULES)


def test_a_changed_line_changes_the_clock() -> None:
    clock.equal_to([Every("apps.ops.jobs.beat", minutes=1)])

    assert ["changed apps.ops.jobs.beat"] == clock.equal_to([Every("apps.ops.jobs.beat", minutes=2)])
    assert 2 == Schedule.objects.get().minutes


def test_old_jobs_are_forgotten_and_new_ones_kept() -> None:
    for name, age in (("old", 48), ("new", 1)):
        at = timezone.now() - timedelta(hours=age)
        Success.objects.create(id=name, name=name, func="f", started=at, stopped=at, success=True)

    jobs.prune()

    assert ["new"] == list(Success.objects.values_list("id", flat=True))
