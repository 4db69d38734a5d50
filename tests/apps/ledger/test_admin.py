"""The ledger in the admin: dollars in, micro-USD stored, the same actions, and no way around them."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.events.models import Event
from apps.events.refused import Stale
from apps.ledger import actions, allowances, budgets, pauses, prices
from apps.ledger.limits import Limits, Scope
from apps.ledger.models import Account, Allowance, Budget, Charge, Price
from tests.apps.ledger import till

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]
PRICE = {"model": "house", "effective_from": "2026-11-21", "prompt_over": "0", "input": "0.125", "output": "2.50"}


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def page(client: Client, path: str, data: dict[str, Any] | None = None) -> str:
    """What the admin answers under /admin/ledger/, after its redirect if there is one."""
    address = f"/admin/ledger/{path}"
    answer = client.get(address) if data is None else client.post(address, data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_price_is_entered_in_dollars_and_remembered(operator: Client) -> None:
    page(operator, "price/add/", PRICE)

    assert (125_000, 2_500_000, 0) == Price.objects.values_list("input", "output", "cache_read").get(model="house")
    assert ["ann"] == list(Event.objects.filter(kind="price.set").values_list("actor", flat=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": "", "output": ""},
        {"free": "on"},
        {"input": "0.0000001"},
        {"input": "-1"},
        {"model": "a *"},
        {"prompt_over": "200000"},
        {"model": till.OPUS, "effective_from": "2026-07-01"},
    ],
)
def test_a_price_that_cannot_be_is_an_error_of_the_form(operator: Client, wrong: dict[str, str]) -> None:
    before = Price.objects.count()

    assert "errornote" in page(operator, "price/add/", {**PRICE, **wrong})
    assert before == Price.objects.count()


def test_a_price_is_put_right_until_a_call_was_charged_by_it(operator: Client) -> None:
    page(operator, "price/add/", PRICE)
    price = Price.objects.get(model="house")
    page(operator, f"price/{price.pk}/change/", {"input": "3", "model": "other"})
    till.reserved(model="house")
    remembered = LogEntry.objects.count()
    said = page(operator, f"price/{price.pk}/change/", {"input": "4"})

    assert "Calls were charged by the price of house" in said
    assert "errornote" in said
    assert "was changed successfully" not in said
    assert remembered == LogEntry.objects.count()
    assert ("house", 3_000_000) == Price.objects.values_list("model", "input").get(pk=price.pk)


def test_the_rates_for_long_prompts_that_a_new_price_takes_over_are_pointed_out(operator: Client) -> None:
    said = page(operator, "price/add/", {**PRICE, "model": till.HAIKU})

    assert "The rates for prompts over 100,000 tokens were taken over from the price before" in said
    assert "taken over" not in page(operator, "price/add/", PRICE)


@pytest.mark.parametrize(("days", "warned"), [(0, False), (91, True)])
def test_old_prices_are_pointed_out(operator: Client, days: int, warned: bool) -> None:
    Price.objects.filter(free=False).update(verified_on=timezone.now().date() - timedelta(days=days))

    assert warned is ("for 90 days" in page(operator, "price/"))


def test_a_budget_is_set_in_dollars_and_the_next_call_obeys(operator: Client) -> None:
    page(operator, "budget/add/", {"scope": "day", "key": "*", "limit_micro": "0.05", "enforce": "on"})
    budget = Budget.objects.get()
    page(operator, f"budget/{budget.pk}/change/", {"limit_micro": "0.07", "limit_calls": "9", "enforce": "on"})

    assert Limits(micro=70_000, calls=9) == Budget.objects.get().limits
    assert ["ann", "ann"] == list(Event.objects.filter(kind="budget.set").values_list("actor", flat=True))


def test_a_budget_shows_what_is_spent_reserved_and_used_of_it(operator: Client) -> None:
    now = timezone.now()
    budgets.set_budget(Scope.DAY, by="tests", limits=Limits(micro=100_000))
    budgets.set_budget(Scope.TASK, by="tests", limits=Limits(micro=100_000))
    actions.settle(till.reserved(now=now).call_id, till.USAGE, now=now)
    till.reserved(now=now)
    shown = page(operator, f"budget/{Budget.objects.get(scope='day').pk}/change/")

    assert "$0.014, 1,500 tokens, 1 calls" in shown
    assert "$0.028, 2,000 tokens, 1 calls" in shown
    assert "42 %" in shown
    assert "42 %" in page(operator, "budget/")
    assert "42 %" in page(operator, f"account/{Account.objects.get(scope='task').pk}/change/")


@pytest.mark.parametrize(
    "wrong",
    [{"key": "21.11.2026"}, {"limit_micro": "-1"}, {"limit_micro": "0.0000001"}, {"scope": "planet"}, {"key": ""}],
)
def test_a_budget_that_cannot_be_is_an_error_of_the_form(operator: Client, wrong: dict[str, str]) -> None:
    assert "errornote" in page(operator, "budget/add/", {"scope": "day", "key": "*", "limit_micro": "1", **wrong})
    assert not Budget.objects.exists()


@pytest.mark.parametrize("name", ["budget", "account"])
def test_a_list_asks_the_same_of_the_database_however_long_it_is(operator: Client, name: str) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(operator, f"{name}/")
        return len(queries)

    till.allow(Scope.DAY, micro=10**9)
    till.reserved(now=timezone.now())
    few = asked()
    for number in range(20):
        till.allow(Scope.AGENT, f"agent-{number}", micro=100_000)
        till.reserved(scopes={"agent": f"agent-{number}"})

    assert few == asked()


@pytest.mark.parametrize(
    ("scope", "key", "warned"),
    [("agent", "adda", True), ("agent", "ada", False), ("agent", "*", False), ("day", "2027-01-01", False)],
)
def test_a_budget_for_something_that_was_never_heard_of_is_pointed_out(
    operator: Client, scope: str, key: str, warned: bool
) -> None:
    till.reserved()
    said = page(operator, "budget/add/", {"scope": scope, "key": key, "limit_micro": "1", "enforce": "on"})

    assert warned is (f"Nothing was ever counted for {scope} {key}" in said)
    assert Budget.objects.filter(scope=scope, key=key).exists()


def test_it_is_said_that_days_are_those_of_utc(operator: Client) -> None:
    assert "which are those of UTC" in page(operator, "budget/add/")


def test_charges_are_looked_at_and_filtered(operator: Client) -> None:
    charge = till.reserved("seen")
    actions.settle(charge.call_id, till.USAGE, now=till.NOW)
    till.reserved("open", purpose="review")

    assert "$0.014" in page(operator, "charge/?status=settled")
    assert "seen" not in page(operator, "charge/?purpose=review")
    assert "seen" not in page(operator, f"charge/?model={till.HAIKU}")
    assert "seen" in page(operator, "charge/?started_at__day=21&started_at__month=11&started_at__year=2026")
    assert date(2026, 11, 21) == Charge.objects.earliest("id").started_at.date()


def test_what_a_lapsed_allowance_has_left_is_given_back_by_hand(operator: Client) -> None:
    lapsed, still_open = till.granted(), till.granted("attempt/2")
    allowances.lapse(lapsed.key)
    chosen = {"action": "give_back", "_selected_action": [lapsed.pk, still_open.pk]}
    said = page(operator, "allowance/", chosen)

    assert "1 given back. 1 not lapsed, left as they are." in said
    assert ["released", "open"] == list(Allowance.objects.order_by("pk").values_list("status", flat=True))
    assert (0, 100_000) == (till.spent().micro, till.held().micro)
    assert ["ann"] == list(Event.objects.filter(kind="allowance.released").values_list("actor", flat=True))


def test_who_may_only_look_gives_nothing_back() -> None:
    lapsed = till.granted()
    allowances.lapse(lapsed.key)
    looker = User.objects.create_user("eve", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_allowance"))
    client = Client()
    client.force_login(looker)
    page(client, "allowance/", {"action": "give_back", "_selected_action": [lapsed.pk]})

    assert "lapsed" == Allowance.objects.get().status


CORRECTION = {"cost": "0.25", "reason": "The bill says so.", "correction_id": "7d9b6f0e-5d5c-4c38-9b57-0b2f3c1f6a10"}


def test_what_a_call_cost_is_put_right_once_and_remembered(operator: Client) -> None:
    till.granted()
    charge = till.part("one", certain=False)
    for _ in range(2):
        said = page(operator, f"charge/{charge.pk}/change/", CORRECTION)

    assert "was changed successfully" in said
    assert ("settled", 18_000) == Charge.objects.values_list("status", "cost_micro").get(pk=charge.pk)
    assert [250_000 - 18_000] == list(Charge.objects.filter(corrects=charge).values_list("cost_micro", flat=True))
    assert 250_000 == till.spent().micro
    assert [("ann", "The bill says so.")] == [
        (event.actor, event.data["reason"]) for event in Event.objects.filter(kind="charge.corrected")
    ]


def test_two_corrections_from_two_pages_are_two(operator: Client) -> None:
    charge = till.reserved("one")
    actions.settle("one", till.USAGE, now=till.NOW)
    shown = [page(operator, f"charge/{charge.pk}/change/") for _ in range(2)]
    for (number,) in [re.findall(r'name="correction_id" value="([^"]+)"', html) for html in shown]:
        page(operator, f"charge/{charge.pk}/change/", {**CORRECTION, "cost": "0", "correction_id": number})

    assert 2 == Charge.objects.filter(corrects=charge).count()
    assert 0 == till.spent().micro


@pytest.mark.parametrize("wrong", [{"cost": ""}, {"cost": "-1"}, {"reason": ""}, {"correction_id": "again"}])
def test_a_correction_that_cannot_be_is_an_error_of_the_form(operator: Client, wrong: dict[str, str]) -> None:
    charge = till.reserved("one")
    actions.settle("one", till.USAGE, now=till.NOW)

    assert "errornote" in page(operator, f"charge/{charge.pk}/change/", {**CORRECTION, **wrong})
    assert 14_000 == till.spent().micro


def test_what_has_no_cost_or_is_a_correction_is_only_looked_at(operator: Client) -> None:
    reserved, settled = till.reserved("one"), till.reserved("two")
    actions.settle("two", till.USAGE, now=till.NOW)
    correction = actions.correct("two", 0, correction_id="c", by="ann", reason="refund")
    for charge, status in ((reserved, 403), (correction, 403), (settled, 302)):
        address = f"/admin/ledger/charge/{charge.pk}/change/"
        assert ("correction_id" in operator.get(address).content.decode()) is (status == 302)

        assert status == operator.post(address, CORRECTION).status_code


def test_what_is_refused_in_the_last_moment_was_not_changed(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    charge = till.reserved("one")
    actions.settle("one", till.USAGE, now=till.NOW)

    def refuse(*_: object, **__: object) -> None:
        raise Stale("charge_moved", "Somebody was faster.")

    monkeypatch.setattr(actions, "correct", refuse)
    said = page(operator, f"charge/{charge.pk}/change/", CORRECTION)

    assert "Somebody was faster." in said
    assert "was changed successfully" not in said
    assert not LogEntry.objects.exists()


def test_calls_without_a_price_are_posted_by_hand_once_it_is_entered(operator: Client) -> None:
    till.granted()
    charges = [till.part(name, model=name) for name in ("known", "mystery")]
    prices.set_price("known", till.NOW.date(), by="ann", rates={"output": 2_000_000})
    chosen = {"action": "price_now", "_selected_action": [charge.pk for charge in charges]}
    said = page(operator, "charge/", chosen)

    assert "1 posted." in said
    assert "There is no price for mystery" in said
    assert [("settled", 1_000), ("uncertain", None)] == list(
        Charge.objects.order_by("pk").values_list("status", "cost_micro")
    )


def test_a_pause_of_spending_is_lifted_in_the_admin_as_well(operator: Client) -> None:
    pauses.begin("Somebody has to look.")
    page(operator, "pause/", {"action": "lift", "_selected_action": [1]})

    assert pauses.standing() is None
    assert ["ann"] == list(Event.objects.filter(kind="spending.lifted").values_list("actor", flat=True))


@pytest.mark.parametrize("name", ["price", "budget", "account", "allowance", "charge"])
def test_nothing_is_deleted_and_what_happened_is_not_changed(operator: Client, name: str) -> None:
    till.granted()
    till.reserved()
    till.allow()
    row = {"price": Price, "budget": Budget, "account": Account, "charge": Charge}.get(name)
    pk = 1 if row is None else row._base_manager.values_list("pk", flat=True)[0]
    page(operator, f"{name}/")

    assert 403 == operator.get(f"/admin/ledger/{name}/{pk}/delete/").status_code
    if name in ("account", "allowance", "charge"):
        assert 403 == operator.get(f"/admin/ledger/{name}/add/").status_code
