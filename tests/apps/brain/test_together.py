"""Several processes think at once, and a hub with a long history thinks as fast as a new one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.brain import actions, situation, watch
from apps.brain.decide import Decision, Situation, decide
from apps.brain.lifecycle import State
from apps.brain.models import Brain, Stay
from apps.events import hints
from apps.events.models import Event
from apps.goals import backlog
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal
from tests import cast
from tests.apps.brain.conftest import Hub, goal
from tests.model.crew import Crew

PAST = timezone.now() - timedelta(days=1)


def test_a_move_that_somebody_else_made_meanwhile_is_made_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [hub.think]

    def slowly(seen: Situation) -> Decision:
        decision = decide(seen)
        if others:
            others.pop()()
        return decision

    goal()
    monkeypatch.setattr("apps.brain.actions.decide", slowly)
    hub.think()

    assert [State.RESTING, State.EXECUTING] == hub.path
    assert 1 == Event.objects.filter(kind="brain.moved").count()


def test_a_decision_about_a_state_that_was_left_moves_nothing_even_where_the_move_exists(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resting may become executing; but this rest is another one than the decision was about."""
    others = [1]

    def slowly(seen: Situation) -> Decision:
        decision = decide(seen)
        if others:
            others.pop()
            Brain.objects.update(transition_count=7)
        return decision

    goal()
    monkeypatch.setattr("apps.brain.actions.decide", slowly)
    hub.think()

    assert hub.is_in(State.RESTING)


@pytest.fixture
def crew(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr(hints, "send", lambda _: None)
    monkeypatch.setattr(watch, "critical", lambda: 0)
    found = Crew(3)
    yield found
    found.dismiss()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_three_who_think_at_once_move_the_hub_once_and_begin_no_goal_too_many(crew: Crew, settings: Any) -> None:
    repo = cast.repo()
    for round_ in range(10):
        goals = [goal(f"goal {number}", repo=repo) for number in range(5)]
        crew.do([actions.think] * 3)

        assert settings.GOALS_AT_ONCE == Goal.objects.filter(status=GoalStatus.DECOMPOSING).count()
        assert (
            2 * round_ + 1
            == Stay.objects.filter(move__gt=0).count()
            == Event.objects.filter(kind="brain.moved").count()
        )

        ended = {"status": GoalStatus.CANCELLED, "finished_at": timezone.now()}
        Goal.objects.filter(pk__in=[one.pk for one in goals]).update(**ended)
        Brain.objects.update(since=PAST, next_look_at=timezone.now() + timedelta(days=1))
        Stay.objects.filter(left_at__isnull=True).update(at=PAST)
        crew.do([actions.think] * 3)
        assert State.RESTING is actions.current().state


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_new_hub_that_is_asked_for_by_all_at_once_has_one_brain(crew: Crew) -> None:
    crew.do([actions.current] * 3)

    assert (1, 1) == (Brain.objects.count(), Stay.objects.count())


# --- flat -------------------------------------------------------------------------------------------------------------


def queries_of(hub: Hub) -> int:
    with CaptureQueriesContext(connection) as asked:
        hub.think()
    assert not [query["sql"] for query in asked if "events_event" in query["sql"]]
    return len(asked)


def history(count: int) -> None:
    """`count` goals that ended long ago, stays of as many moves, and a few goals that wait for a goal."""
    repo = cast.repo()
    facts: dict[str, Any] = {"repo": repo, "status": GoalStatus.CANCELLED, "finished_at": PAST}
    Goal.objects.bulk_create([Goal(title=f"old {n}", **facts) for n in range(count)], batch_size=500)
    moves = range(1_000, 1_000 + count)
    Stay.objects.bulk_create([Stay(move=n, status=State.RESTING, at=PAST, left_at=PAST) for n in moves], batch_size=500)


def test_a_thought_costs_the_same_number_of_queries_however_long_the_history(hub: Hub) -> None:
    hub.later(seconds=1)
    before = queries_of(hub)
    history(2_000)

    assert before == queries_of(hub) <= 11


def plan(rows: QuerySet[Any]) -> str:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return rows.explain()


def test_no_query_of_a_thought_reads_goals_or_stays_that_are_over(hub: Hub) -> None:
    history(2_000)
    indexes = ("goal_unfinished", "goal_backlog", "one_open_goal_per_fingerprint")

    for rows in (backlog._startable(), Goal.objects.unfinished().active()):
        assert any(index in plan(rows) for index in indexes), plan(rows)
    how = plan(Stay.objects.filter(left_at__isnull=True))
    assert "open_stay" in how or "stay_left" in how, how


def test_what_a_situation_is_read_from_is_no_more_than_a_handful_of_rows(hub: Hub) -> None:
    goal()
    seen = situation.read(actions.current(), hub.now)

    assert (1, 0, False) == (seen.pending, seen.active, seen.working)
