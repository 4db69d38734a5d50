"""What the database itself refuses, whatever the code above it does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from apps.ledger import actions
from apps.ledger.models import Account, Allowance, Budget, Charge, Pause, Price
from apps.ledger.pricing import LONGEST_MS
from tests.apps.ledger import till

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]


def a_price_of_zero_that_nobody_declared_free() -> None:
    Price.objects.create(model="m")


def a_free_price_with_a_rate() -> None:
    Price.objects.create(model="m", free=True, output=1)


def a_second_price_of_a_day_and_band() -> None:
    Price.objects.create(model=till.LOCAL[:7] + "*", effective_from="2000-01-01", free=True)


def a_second_budget_for_the_same() -> None:
    for _ in range(2):
        Budget.objects.create(scope="day")


def a_budget_for_something_unknown() -> None:
    Budget.objects.create(scope="planet")


def less_than_nothing_spent() -> None:
    Account.objects.update(spent_calls=-1)


def less_than_nothing_held() -> None:
    Account.objects.update(reserved_micro=-1)


def a_second_account_of_a_key() -> None:
    Account.objects.create(scope="hub", key="")


def a_second_charge_of_a_call() -> None:
    Charge.objects.create(call_id="one", model="m", purpose="work", started_at=till.NOW, expires_at=till.NOW)


def settled_without_a_cost() -> None:
    Charge.objects.filter(call_id="one").update(status="settled", resolved_at=till.NOW)


def settled_without_a_price() -> None:
    Charge.objects.filter(call_id="one").update(status="settled", resolved_at=till.NOW, cost_micro=0, price=None)


def settled_without_an_end() -> None:
    Charge.objects.filter(call_id="one").update(status="settled", cost_micro=0)


def reserved_with_a_cost() -> None:
    Charge.objects.filter(call_id="one").update(cost_micro=1)


def uncertain_with_a_price_and_no_cost() -> None:
    Charge.objects.filter(call_id="one").update(status="uncertain", resolved_at=till.NOW)


def a_cost_below_zero() -> None:
    Charge.objects.filter(call_id="done").update(cost_micro=-1)


def a_call_of_more_than_a_week() -> None:
    Charge.objects.filter(call_id="done").update(duration_ms=LONGEST_MS + 1)


def an_unknown_status() -> None:
    Charge.objects.filter(call_id="done").update(status="lost")


def released_with_something_left() -> None:
    Allowance.objects.update(status="released", released_at=till.NOW)


def released_at_no_time() -> None:
    Allowance.objects.update(status="released", left_micro=0, left_tokens=0, left_calls=0)


def a_price_that_was_used_is_deleted() -> None:
    with transaction.get_connection().cursor() as cursor:
        cursor.execute("DELETE FROM ledger_price")
    transaction.get_connection().check_constraints()


def a_second_pause_of_spending() -> None:
    Pause.objects.create(pk=2, since=till.NOW, reason="twice")


def a_pause_that_was_lifted_before_it_began() -> None:
    Pause.objects.create(pk=1, since=till.NOW, lifted_at=till.NOW - timedelta(seconds=1), reason="early")


WRONGS = (
    a_second_pause_of_spending,
    a_pause_that_was_lifted_before_it_began,
    a_price_of_zero_that_nobody_declared_free,
    a_free_price_with_a_rate,
    a_second_price_of_a_day_and_band,
    a_second_budget_for_the_same,
    a_budget_for_something_unknown,
    less_than_nothing_spent,
    less_than_nothing_held,
    a_second_account_of_a_key,
    a_second_charge_of_a_call,
    settled_without_a_cost,
    settled_without_a_price,
    settled_without_an_end,
    reserved_with_a_cost,
    uncertain_with_a_price_and_no_cost,
    a_cost_below_zero,
    a_call_of_more_than_a_week,
    an_unknown_status,
    released_with_something_left,
    released_at_no_time,
    a_price_that_was_used_is_deleted,
)


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
def test_the_database_says_no(wrong: Callable[[], None]) -> None:
    till.reserved("one")
    actions.settle(till.reserved("done").call_id, till.USAGE, now=till.NOW)
    till.granted()

    with pytest.raises(IntegrityError), transaction.atomic():
        wrong()
