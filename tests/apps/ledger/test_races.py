"""Many at once on one small budget, on the database that allows it: never a cent too much, none lost, no ring."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from django.db import connection

from apps.events import hints
from apps.events.refused import Refused
from apps.ledger import actions, allowances, prices
from apps.ledger.accounts import Exhausted
from apps.ledger.budgets import set_budget
from apps.ledger.lifecycle import ChargeStatus
from apps.ledger.limits import MEASURES, Amount, Limits, Scope
from apps.ledger.models import Account, Allowance, Budget, Charge, Price
from apps.ledger.pricing import Usage
from tests.apps.ledger import till
from tests.model.crew import Crew

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
THREADS, CALLS = 50, 200 if os.environ.get("AGENTCOM_MODEL") == "long" else 40
DOLLAR = Limits(micro=1_000_000, calls=400)


@pytest.fixture(autouse=True)
def books(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(hints, "send", lambda _: None)
    prices.load()
    yield
    assert [] == till.faults()


@pytest.fixture
def crew(transactional_db: None) -> Iterator[Crew]:
    found = Crew(8)
    yield found
    found.dismiss()


class Provider:
    """Scripted: works or does not, answers or does not, and keeps its own log of what it did."""

    def __init__(self) -> None:
        self.log: dict[str, Usage] = {}

    def complete(self, call_id: str, chance: random.Random) -> Usage:
        if chance.random() < 0.1:
            raise ConnectionRefusedError
        usage = Usage(input=chance.randrange(1_000), output=chance.randrange(1_000))
        self.log[call_id] = usage
        if chance.random() < 0.1:
            raise TimeoutError
        return usage


def work(provider: Provider, thread: int, seen: list[str]) -> None:
    """One thread's calls, for tasks and agents that others work for, too."""
    chance = random.Random(thread)
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO off")  # order and visibility stay; no server is killed here
    for number in range(CALLS):
        call_id = f"{thread}-{number}"
        scopes = {"task": str(chance.randrange(5)), "agent": str(chance.randrange(7)), "repo": "sample"}
        try:
            till.reserved(call_id, scopes=scopes)
        except Exhausted:
            seen.append("refused")
            continue
        _answer(provider, call_id, chance)
        hub = Account.objects.get(scope="hub")
        used = hub.spent + hub.reserved
        if used.micro > 1_000_000 or used.calls > 400:
            seen.append(f"{used} is over the limit")


def _answer(provider: Provider, call_id: str, chance: random.Random) -> None:
    try:
        usage = provider.complete(call_id, chance)
    except ConnectionRefusedError:
        actions.void(call_id)
        return
    except TimeoutError:
        actions.mark_uncertain(call_id)
        return
    for _ in range(1 + chance.randrange(2)):
        actions.settle(call_id, usage)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_threads_never_overspend_one_dollar_and_lose_nothing() -> None:
    set_budget(Scope.HUB, by="tests", limits=DOLLAR)
    provider = Provider()
    seen: list[str] = []
    errors: list[Exception] = []

    def run(thread: int) -> None:
        try:
            work(provider, thread, seen)
        except Exception as error:  # noqa: BLE001  any of them fails the test
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(280)
    for call_id in Charge.objects.filter(status=ChargeStatus.UNCERTAIN).values_list("call_id", flat=True):
        actions.settle(call_id, provider.log[call_id])

    assert [] == errors
    assert {"refused"} == set(seen)
    bill = {call_id: usage.input * 4 + usage.output * 20 for call_id, usage in provider.log.items()}
    assert bill == dict(Charge.objects.filter(status="settled").values_list("call_id", "cost_micro"))
    hub = Account.objects.get(scope="hub")
    assert (sum(bill.values()), len(bill), 0) == (hub.spent.micro, hub.spent.calls, hub.reserved.micro)
    assert hub.spent.micro <= 1_000_000


def quietly(deed: Callable[[], Any]) -> Callable[[], Any]:
    """A refusal is an answer."""

    def do() -> None:
        with suppress(Refused):
            deed()

    return do


@pytest.mark.parametrize("measure", MEASURES)
def test_of_many_that_want_the_last_of_a_budget_one_gets_it(crew: Crew, measure: str) -> None:
    for number in range(5):
        till.allow(Scope.TASK, str(number), **{measure: getattr(till.ESTIMATED, measure)})
        scopes = {"task": str(number), "agent": "ada"}
        crew.do([quietly(partial(till.reserved, f"{number}-{n}", scopes=scopes)) for n in range(8)])

        assert 1 == Charge.objects.filter(task=str(number)).count()


def test_one_call_reserved_settled_and_voided_on_many_connections_is_one(crew: Crew) -> None:
    for number in range(10):
        call_id = f"call-{number}"
        crew.do([partial(till.reserved, call_id)] * 8)
        assert 1 == Charge.objects.filter(call_id=call_id).count()
        settle = partial(actions.settle, call_id, till.USAGE)
        others = (partial(actions.void, call_id), partial(actions.mark_uncertain, call_id))
        crew.do([quietly(deed) for deed in (settle, *others, settle, *others, *others)])
        assert ChargeStatus.SETTLED == Charge.objects.get(call_id=call_id).status

    assert 10 * 14_000 == till.spent().micro
    assert 10 == Charge.objects.count()


def test_calls_for_the_same_things_named_in_any_order_never_wait_in_a_ring(crew: Crew) -> None:
    pairs = [{"task": a, "agent": b, "repo": c} for a in "12" for b in "12" for c in "12"]
    for _ in range(10):
        crew.do([partial(till.reserved, scopes=dict(reversed(pair.items()))) for pair in pairs])
        open_calls = list(Charge.objects.filter(status="reserved").values_list("call_id", flat=True))
        crew.do([partial(actions.settle, call_id, till.USAGE) for call_id in open_calls])

    assert 80 == till.spent().calls


def test_a_limit_lowered_while_many_reserve_holds_for_all_that_come_after(crew: Crew) -> None:
    for number in range(5):
        key = str(number)
        till.allow(Scope.TASK, key, calls=100)
        lower = partial(till.allow, Scope.TASK, key, calls=0)
        crew.do([*[quietly(partial(till.reserved, scopes={"task": key}))] * 7, lower])
        held = Account.objects.filter(scope="task", key=key).first()
        with pytest.raises(Exhausted):
            till.reserved(scopes={"task": key})

        assert held is None or held.reserved.calls <= 7
    assert Limits(calls=0) == Budget.objects.get(key="4").limits


def test_parts_of_one_allowance_reported_on_many_connections_take_each_from_it_once(crew: Crew) -> None:
    for number in range(5):
        key = f"attempt/{number}"
        crew.do([partial(till.granted, key)] * 4)
        reports = [partial(till.part, f"{number}-{n % 4}", key=key) for n in range(7)]
        crew.do([*reports, partial(allowances.release, key)])
        assert Amount() == Allowance.objects.get(key=key).left

    assert (20 * 14_000, 20, Amount()) == (till.spent().micro, till.spent().calls, till.held())


def test_a_price_that_is_changed_while_calls_begin_is_that_of_all_or_of_none_of_them(crew: Crew) -> None:
    for number in range(10):
        model = f"house-{number}"
        since = till.NOW.date()
        prices.set_price(model, since, by="tests", rates={"input": 1_000_000})
        dearer = partial(prices.set_price, model, since, by="tests", rates={"input": 2_000_000})
        begin = [quietly(partial(till.reserved, f"{number}-{n}", model=model)) for n in range(4)]
        grant = [quietly(partial(till.granted, f"attempt/{number}-{n}", model=model)) for n in range(3)]
        crew.do([*begin, quietly(dearer), *grant])
        rate = Price.objects.get(model=model).input

        assert {rate // 1_000} == set(Charge.objects.filter(model=model).values_list("estimated_micro", flat=True))
