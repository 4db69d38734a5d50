"""What the hub may think by itself: for each of its states so many calls in an hour and in a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from apps.events.refused import Invalid
from apps.ledger import actions, admin, budgets
from apps.ledger.accounts import Exhausted
from apps.ledger.limits import Limits, Scope, budget_keys, is_over, key_now, keys_of, named
from apps.ledger.models import Account, Budget, Charge
from tests.apps.ledger import till
from tests.apps.ledger.till import NOW, allow, reserved
from tests.model.crew import Crew

NOW_KEYS = dict(keys_of({}, "", NOW))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEED = import_module("apps.ledger.migrations.0012_state_budgets")


def thought(state: str = "healing", **wanted: Any) -> Charge:
    return reserved(scopes={"state": state}, model=till.LOCAL, **wanted)


@pytest.mark.usefixtures("ledger")
def test_a_call_is_counted_in_its_state_and_in_the_states_hour_and_day() -> None:
    charge = thought()

    assert "healing" == charge.state
    assert {"state": "healing"} == charge.scopes
    assert {"healing", "healing 2026-11-21T12", "healing 2026-11-21"} == set(
        Account.objects.filter(pk__in=charge.accounts, scope__startswith="state").values_list("key", flat=True)
    )


@pytest.mark.usefixtures("ledger")
def test_a_call_of_no_state_is_counted_in_none() -> None:
    reserved()

    assert not Account.objects.filter(scope__startswith="state").exists()


@pytest.mark.parametrize("state", ["two words", "*", "x" * 41, "tab\there"])
def test_a_state_is_one_word(state: str) -> None:
    with pytest.raises(ValueError, match="no state"):
        keys_of({"state": state}, "work", NOW)


@pytest.mark.usefixtures("ledger")
def test_an_hour_of_a_state_is_never_overspent_and_the_next_one_begins_anew() -> None:
    allow(Scope.STATE_HOUR, "healing *", calls=2)
    thought()
    thought()
    with pytest.raises(Exhausted) as full:
        thought()

    assert "1 call is needed, but the budget for hour 2026-11-21T12 of healing has 0 calls left." == full.value.message
    thought(now=NOW + HOUR)


@pytest.mark.usefixtures("ledger")
def test_a_day_of_a_state_is_never_overspent_whatever_its_hours_have_left() -> None:
    allow(Scope.STATE_HOUR, "healing *", calls=2)
    allow(Scope.STATE_DAY, "healing *", calls=3)
    for hour in (0, 0, 1):
        thought(now=NOW + hour * HOUR)
    with pytest.raises(Exhausted) as full:
        thought(now=NOW + 2 * HOUR)

    assert ("state day", "healing 2026-11-21") == (full.value.facts["scope"], full.value.facts["key"])
    thought(now=NOW + DAY)


@pytest.mark.usefixtures("ledger")
def test_other_states_and_the_work_of_agents_are_not_affected() -> None:
    allow(Scope.STATE_HOUR, "healing *", calls=0)
    with pytest.raises(Exhausted):
        thought()

    thought("executing")
    reserved()


@pytest.mark.usefixtures("ledger")
def test_an_edited_budget_is_obeyed_by_the_next_reservation() -> None:
    allow(Scope.STATE_HOUR, "healing *", calls=1)
    thought()
    allow(Scope.STATE_HOUR, "healing *", calls=2)
    thought()
    allow(Scope.STATE_HOUR, "healing *", calls=1)

    with pytest.raises(Exhausted):
        thought()


@pytest.mark.usefixtures("ledger")
def test_the_nearest_budget_holds() -> None:
    """One for that very hour before one for each hour of the state, and that before one for each hour of each state."""
    allow(Scope.STATE_HOUR, calls=0)
    allow(Scope.STATE_HOUR, "healing *", calls=1)
    allow(Scope.STATE_HOUR, "healing 2026-11-21T12", calls=2)
    thought()
    thought()
    thought(now=NOW + HOUR)

    for state, at in (("healing", NOW), ("healing", NOW + HOUR), ("executing", NOW)):
        with pytest.raises(Exhausted):
            thought(state, now=at)


@pytest.mark.usefixtures("ledger")
def test_a_call_that_came_to_nothing_gives_its_place_back() -> None:
    allow(Scope.STATE_HOUR, "healing *", calls=1)
    actions.void(thought().call_id)

    assert "reserved" == thought().status


@pytest.mark.django_db
def test_a_new_hub_has_the_usual_budgets_as_rows_that_can_be_edited() -> None:
    rows = Budget.objects.filter(scope__in=[Scope.STATE_HOUR, Scope.STATE_DAY])

    assert {
        ("state hour", "executing *", 20), ("state day", "executing *", 100),
        ("state hour", "improving *", 10), ("state day", "improving *", 40),
        ("state hour", "contemplating *", 5), ("state day", "contemplating *", 15),
        ("state hour", "healing *", 5), ("state day", "healing *", 20),
    } == set(rows.values_list("scope", "key", "limit_calls"))  # fmt: skip
    assert all(row.enforce for row in rows)


@pytest.mark.django_db
def test_the_usual_budgets_come_only_where_nothing_of_their_scope_was_said() -> None:
    Budget.objects.filter(scope__startswith="state").delete()
    allow(Scope.STATE_DAY, "executing *", calls=7)
    SEED.seed(apps, None)

    assert {7} == set(Budget.objects.filter(scope=Scope.STATE_DAY).values_list("limit_calls", flat=True))
    assert 4 == Budget.objects.filter(scope=Scope.STATE_HOUR).count()


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("state", "healing"), ("state", "*"),
        ("state hour", "*"), ("state hour", "healing *"), ("state hour", "healing 2026-12-24T18"),
        ("state day", "*"), ("state day", "healing *"), ("state day", "healing 2026-12-24"),
    ],
)  # fmt: skip
def test_these_can_be_budgets(scope: str, key: str) -> None:
    budgets.check(scope, key, Limits(calls=1))


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("state hour", "healing"), ("state hour", "2026-12-24T18"), ("state hour", "healing 2026-12-24"),
        ("state day", "healing 2026-12-24T18"), ("state day", " *"), ("state day", "* *"), ("state day", "healing  *"),
    ],
)  # fmt: skip
def test_these_cannot(scope: str, key: str) -> None:
    with pytest.raises(Invalid, match="Write it as healing"):
        budgets.check(scope, key, Limits(calls=1))


@pytest.mark.usefixtures("ledger")
def test_a_budget_for_a_state_that_nobody_knows_is_said_to_limit_nothing() -> None:
    thought()
    known, unknown = (budgets.set_budget("state hour", f"{state} *", by="ann", limits=Limits(calls=1))
                      for state in ("healing", "heeling"))  # fmt: skip

    assert (False, True) == (budgets.is_unheard_of(known), budgets.is_unheard_of(unknown))


@pytest.mark.usefixtures("ledger")
def test_the_list_of_budgets_shows_what_the_running_hour_of_each_state_has_used(monkeypatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    allow(Scope.STATE_HOUR, "healing *", calls=5)
    thought()
    thought(now=NOW - HOUR)
    budget = Budget.objects.get()
    account = admin.currents([budget])[budget.pk]

    assert account is not None
    assert ("each hour of healing", "healing 2026-11-21T12", 1) == (str(budget), account.key, account.reserved.calls)


@pytest.mark.parametrize(
    ("scope", "key", "name"),
    [
        ("hub", "", "hub"), ("goal", "7", "goal 7"), ("day", "*", "each day"), ("state", "healing", "state healing"),
        ("state hour", "*", "each hour of each state"), ("state hour", "healing *", "each hour of healing"),
        ("state day", "healing 2026-11-21", "day 2026-11-21 of healing"),
    ],
)  # fmt: skip
def test_budgets_and_accounts_are_called_as_people_would(scope: str, key: str, name: str) -> None:
    assert name == named(scope, key)


@pytest.mark.parametrize(
    ("scope", "key", "now", "over"),
    [
        ("hub", "*", "", False), ("task", "*", None, False), ("task", "42", "42", False),
        ("day", "*", "2026-11-21", False), ("day", "2026-11-20", "2026-11-20", True),
        ("state", "healing", "healing", False), ("state hour", "*", None, False),
        ("state hour", "healing *", "healing 2026-11-21T12", False),
        ("state hour", "healing 2026-11-21T12", "healing 2026-11-21T12", False),
        ("state hour", "healing 2026-11-21T11", "healing 2026-11-21T11", True),
        ("state day", "healing 2026-11-20", "healing 2026-11-20", True),
    ],
)  # fmt: skip
def test_which_account_a_budget_is_about_now(scope: str, key: str, now: str | None, over: bool) -> None:
    assert (now, over) == (key_now(scope, key, NOW_KEYS), is_over(scope, key, NOW_KEYS))


def test_an_account_obeys_the_budget_of_its_own_before_those_for_many() -> None:
    assert ["healing 2026-11-21", "healing *", "*"] == budget_keys("state day", "healing 2026-11-21")
    assert ["42", "*"] == budget_keys("task", "42")


@pytest.fixture
def crew(transactional_db: None) -> Iterator[Crew]:
    found = Crew(8)
    yield found
    found.dismiss()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_overspend_a_state(crew: Crew, ledger: None) -> None:
    allow(Scope.STATE_HOUR, "healing *", calls=3)
    seen: list[str] = []

    def think() -> None:
        try:
            thought()
        except Exhausted as full:
            seen.append(full.facts["key"])

    crew.do([think, *[partial(think)] * 7])

    assert (3, ["healing 2026-11-21T12"] * 5) == (Charge.objects.count(), seen)
