"""The database's clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.events.clock import FromNow
from apps.tasks.models import Task
from tests import cast

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "length", [timedelta(seconds=20), timedelta(milliseconds=1500), -timedelta(days=40, seconds=1)]
)
def test_so_long_from_now_is_what_django_would_say(length: timedelta) -> None:
    cast.queued_task()
    ours, plain = Task.objects.values_list(FromNow(length), Now() + length).get()

    assert abs(ours - plain) < timedelta(milliseconds=100)


def test_it_compares_with_what_is_stored() -> None:
    agent = cast.agent()
    rows = type(agent).objects.filter(pk=agent.pk)

    assert rows.filter(seen_at__gt=FromNow(-timedelta(seconds=30))).exists()
    assert not rows.filter(seen_at__gt=FromNow(timedelta(seconds=30))).exists()
