"""Two who heal, or look, at once, and work that ends in the same moment, on the database that allows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from apps.brain import actions as brain
from apps.events import hints
from apps.events.refused import Stale
from apps.goals.models import Goal
from apps.insight import jobs as insight
from apps.insight.models import Checkup
from apps.ops.healing import heal
from apps.repos import actions as repos
from apps.tasks import attempts, wake
from apps.tasks.models import Attempt, Task
from apps.tasks.sweep import hold_door_open
from tests import cast
from tests.apps.forge.conftest import agents, data_dir, workshop
from tests.apps.forge.workshop import CHECK, Workshop, drain
from tests.apps.insight.examining import report
from tests.model.crew import Crew

__all__ = ["agents", "data_dir", "workshop"]
pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def crew(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr(hints, "send", lambda _: None)
    monkeypatch.setattr(wake, "_match", lambda: None)
    monkeypatch.setattr(brain, "think", lambda: None)
    found = Crew(4)
    yield found
    found.dismiss()


def lapsed() -> Attempt:
    attempt = cast.working(cast.queued_task())
    Attempt.objects.filter(pk=attempt.pk).update(lease_until=timezone.now() - timedelta(minutes=2))
    return attempt


def test_of_healing_and_a_report_in_the_same_moment_one_wins(crew: Crew) -> None:
    for _ in range(10):
        hold_door_open()
        agent = cast.agent()
        attempt = lapsed()
        type(agent).objects.filter(pk=agent.pk).update(connection=None)

        def finish(attempt: Attempt = attempt) -> None:
            with suppress(Stale):
                attempts.complete(cast.fence(attempt), {}, [])

        crew.do([heal, finish, heal])
        ended = (cast.outcome_of(attempt), cast.status_of(attempt.task))
        assert ended in {("succeeded", "completed"), ("reclaimed", "queued")}
        assert Task.objects.get(pk=attempt.task_id).reclaims == (ended[0] == "reclaimed")
        Task.objects.filter(status="queued").update(demand=None, not_before=timezone.now() + timedelta(days=1))


def test_many_who_look_at_once_look_once_and_many_who_heal_hand_in_one_goal(crew: Crew, workshop: Workshop) -> None:
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    crew.do([partial(insight.head_moved, workshop.repo.pk)] * 4)
    assert 1 == Checkup.objects.count()
    assert 1 == Task.objects.count()
    drain()
    report(workshop, "make test")
    crew.do([heal, heal, insight.look_at_repos, insight.look_at_repos])

    assert 1 == Goal.objects.count()
    assert [Goal.objects.get().pk] == [fault["goal"] for fault in Checkup.objects.get().faults]
