"""What operators allow: one, or each; obeyed by the next reservation, and remembered."""

from __future__ import annotations

import pytest

from apps.events.models import Event
from apps.events.refused import Invalid
from apps.ledger import actions, budgets
from apps.ledger.accounts import Exhausted
from apps.ledger.limits import Limits, Scope
from apps.ledger.models import Budget
from tests.apps.ledger import till
from tests.apps.ledger.till import LATER, NOW, USAGE, allow, reserved

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]


def test_a_budget_for_each_holds_for_each_by_itself() -> None:
    allow(Scope.TASK, calls=1)
    reserved(scopes={"task": "1"})
    reserved(scopes={"task": "2"})

    with pytest.raises(Exhausted) as refused:
        reserved(scopes={"task": "1"})
    assert ("task", "1") == (refused.value.facts["scope"], refused.value.facts["key"])


def test_a_new_hour_day_or_month_begins_with_all_of_its_budget() -> None:
    allow(Scope.HOUR, calls=1)
    reserved()

    with pytest.raises(Exhausted):
        reserved()
    reserved(now=LATER)


def test_a_budget_for_one_takes_the_place_of_the_one_for_each() -> None:
    allow(Scope.DAY, calls=1)
    allow(Scope.DAY, "2026-11-21", calls=2)
    reserved()
    reserved()

    with pytest.raises(Exhausted):
        reserved()
    allow(Scope.DAY, "2026-11-21")
    reserved()


def test_a_budget_that_is_set_late_knows_what_was_spent_before() -> None:
    actions.settle(reserved().call_id, USAGE, now=NOW)
    allow(Scope.GOAL, "7", micro=14_000 + 27_999)

    with pytest.raises(Exhausted):
        reserved()


def test_the_next_reservation_obeys_the_new_limit() -> None:
    allow(calls=1)
    reserved()
    with pytest.raises(Exhausted):
        reserved()
    allow(calls=2)

    reserved()


def test_setting_is_remembered_with_who_and_what_and_setting_the_same_is_no_news() -> None:
    for limits in (Limits(micro=5), Limits(micro=5), Limits(micro=7)):
        budgets.set_budget(Scope.DAY, by="ann", limits=limits)

    events = list(Event.objects.filter(kind="budget.set").order_by("id"))
    assert ["ann", "ann"] == [event.actor for event in events]
    assert (None, 5, 7) == (
        events[0].data["before"],
        events[1].data["before"]["limit_micro"],
        events[1].data["now"]["limit_micro"],
    )
    assert 1 == Budget.objects.count()


@pytest.mark.parametrize(
    ("field", "scope", "key", "limits"),
    [
        ("scope", "planet", "*", Limits()),
        ("key", "task", "", Limits()),
        ("key", "day", "21.11.2026", Limits()),
        ("key", "day", "2026-11-1", Limits()),
        ("key", "hour", "2026-11-21", Limits()),
        ("key", "month", "2026-13", Limits()),
        ("key", "hub", "mine", Limits()),
        ("micro", "day", "*", Limits(micro=-1)),
        ("tokens", "day", "*", Limits(tokens=True)),
        ("calls", "day", "*", Limits(calls=10**16)),
    ],
)
def test_a_budget_that_cannot_be_is_refused_by_its_field(field: str, scope: str, key: str, limits: Limits) -> None:
    with pytest.raises(Invalid) as invalid:
        budgets.set_budget(scope, key, by="ann", limits=limits)

    assert field == invalid.value.field


def test_no_budget_at_all_refuses_nothing() -> None:
    for _ in range(5):
        reserved()

    assert 5 == till.held().calls
