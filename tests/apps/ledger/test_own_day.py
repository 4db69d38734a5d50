"""What the hub wants of itself has a share of its own, whoever makes the calls for it."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from apps.events.refused import Invalid
from apps.ledger import accounts, actions, admin, allowances, budgets
from apps.ledger.accounts import Exhausted
from apps.ledger.limits import Amount, Limits, Scope, is_over, key_now, keys_of, named
from apps.ledger.models import Account, Budget
from tests.apps.ledger import till
from tests.apps.ledger.till import FOR, NOW, allow, reserved

SEED = import_module("apps.ledger.migrations.0014_own_day_budget")
NOW_KEYS = dict(keys_of({}, "", NOW, own=True))
TODAY = "2026-11-21"


def own_day() -> Account | None:
    return Account.objects.filter(scope=Scope.OWN_DAY, key=TODAY).first()


def granted(key: str, *, own: bool) -> Amount:
    most = Amount(micro=100_000, tokens=10_000, calls=10)
    facts: dict[str, Any] = {
        "purpose": "execute",
        "amount": most,
        "least": Amount(tokens=1_000, calls=1),
        "model": till.LOCAL,
    }
    return allowances.grant(key, FOR, ttl=timedelta(hours=1), own=own, now=NOW, **facts).granted


@pytest.mark.usefixtures("ledger")
def test_calls_for_what_people_want_are_not_counted_in_it() -> None:
    reserved()
    granted("attempt-1", own=False)

    assert own_day() is None


@pytest.mark.usefixtures("ledger")
def test_thinking_and_attempts_share_it_and_what_is_left_goes_back() -> None:
    allow(Scope.OWN_DAY, tokens=10_000)
    charge = reserved(own=True, model=till.LOCAL)
    assert Amount(tokens=8_000, calls=10) == granted("attempt-1", own=True)
    with pytest.raises(Exhausted, match=f"day {TODAY} of the hub's own goals"):
        granted("attempt-2", own=True)
    assert Amount(tokens=10_000, calls=10) == granted("attempt-3", own=False)

    actions.void(charge.call_id)
    allowances.release("attempt-1")

    assert Amount(tokens=10_000, calls=10) == granted("attempt-2", own=True)


def test_one_of_a_measure_is_no_plural() -> None:
    assert ["1 call", "2 calls", "0 tokens", "1 token"] == [
        accounts.shown(*one) for one in (("calls", 1), ("calls", 2), ("tokens", 0), ("tokens", 1))
    ]


@pytest.mark.usefixtures("ledger")
def test_what_was_refused_is_said_in_a_sentence_until_the_budget_is_raised() -> None:
    allow(Scope.OWN_DAY, calls=0)
    with pytest.raises(Exhausted) as full:
        reserved(own=True)
    accounts.remember(full.value)
    now = timezone.now()

    said = f"The budget for day {TODAY} of the hub's own goals is used up."
    assert said == accounts.used_up(Scope.OWN_DAY, TODAY, now)
    assert "" == accounts.used_up(Scope.OWN_DAY, TODAY, now + timedelta(hours=1))
    assert "" == accounts.used_up(Scope.OWN_DAY, "2026-11-22", now)
    allow(Scope.OWN_DAY, calls=9)
    assert "" == accounts.used_up(Scope.OWN_DAY, TODAY, now)


@pytest.mark.django_db
def test_a_new_hub_has_it_as_a_row_that_can_be_edited_and_what_an_operator_said_stays() -> None:
    row = Budget.objects.get(scope=Scope.OWN_DAY)
    day = Budget.objects.get(scope=Scope.DAY)
    assert ("*", 4_000_000, None, True) == (row.key, row.limit_tokens, row.limit_calls, row.enforce)
    assert row.limit_micro is not None
    assert day.limit_micro == 5 * row.limit_micro

    allow(Scope.OWN_DAY, micro=7)
    SEED.seed(apps, None)

    assert [7] == list(Budget.objects.filter(scope=Scope.OWN_DAY).values_list("limit_micro", flat=True))


def test_its_budgets_are_for_each_day_or_for_one() -> None:
    for key in ("*", TODAY):
        budgets.check("own day", key, Limits(calls=1))
    for key in ("healing *", "2026-11", f"healing {TODAY}"):
        with pytest.raises(Invalid, match="Write it as 2026-12-24, or"):
            budgets.check("own day", key, Limits(calls=1))
    assert "each day of the hub's own goals" == named("own day", "*")
    assert TODAY == key_now("own day", "*", NOW_KEYS)
    assert [False, True] == [is_over("own day", key, NOW_KEYS) for key in ("*", "2026-11-20")]


@pytest.mark.usefixtures("ledger")
def test_the_list_of_budgets_shows_what_is_used_of_today(monkeypatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    allow(Scope.OWN_DAY, calls=5)
    reserved(own=True)
    budget = Budget.objects.get()

    assert own_day() == admin.currents([budget])[budget.pk]
