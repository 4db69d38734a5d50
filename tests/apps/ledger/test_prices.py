"""The table of prices: dated data, loaded once, changed by operators, never behind a charge's back."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps

from apps.events.models import Event
from apps.events.refused import Invalid, Refused
from apps.ledger import actions, prices
from apps.ledger.models import Price
from apps.ledger.pricing import Unpriced, Usage
from tests.apps.ledger import till

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]


def enter(model: str = "house-model", since: date = date(2026, 1, 1), **wanted: Any) -> Price:
    rates = wanted.pop("rates", {"input": 1_000_000})
    return prices.set_price(model, since, by="ann", rates=rates, **wanted)


def test_the_migration_loads_every_row_of_the_data_and_the_free_local_models() -> None:
    Price.objects.all().delete()
    importlib.import_module("apps.ledger.migrations.0002_prices").load(apps, None)

    listed = json.loads(prices.DATA.read_text())["prices"]
    assert len(listed) + 1 == Price.objects.count()
    assert ["ollama:*"] == list(Price.objects.filter(free=True).values_list("model", flat=True))
    assert [125_000, 625_000] == list(
        Price.objects.filter(model="claude-haiku-5-5").order_by("prompt_over").values_list("cache_write_5m", flat=True)
    )
    assert {date(2026, 11, 20)} == set(Price.objects.filter(free=False).values_list("verified_on", flat=True))
    assert not Price.objects.filter(source="").exists()


def test_loading_again_adds_nothing_and_leaves_what_operators_changed() -> None:
    Price.objects.filter(model="claude-opus-5-5").update(input=7)

    assert 0 == prices.load()
    assert 7 == Price.objects.get(model="claude-opus-5-5").input


@pytest.mark.parametrize("dollars", [Decimal("0.0000001"), Decimal(-1)])
def test_money_that_is_no_whole_number_of_micro_dollars_is_not_rounded_in_silence(dollars: Decimal) -> None:
    with pytest.raises(ValueError, match="no whole number"):
        prices.micro_of(dollars)


def test_a_local_model_is_free_because_a_row_says_so_and_still_counts_its_tokens() -> None:
    charge = till.reserved(model=till.LOCAL)
    actions.settle(charge.call_id, till.USAGE, now=till.NOW)

    assert (0, 1_500, 1) == (till.spent().micro, till.spent().tokens, till.spent().calls)


def test_without_that_row_it_is_refused() -> None:
    Price.objects.filter(model="ollama:*").delete()

    with pytest.raises(Unpriced):
        till.reserved(model=till.LOCAL)


def test_an_entered_price_is_used_and_remembered() -> None:
    enter()
    charge = till.reserved(model="house-model")
    settled = actions.settle(charge.call_id, Usage(input=1_000), now=till.NOW)

    assert 1_000 == settled.cost_micro
    assert ["ann"] == list(Event.objects.filter(kind="price.set").values_list("actor", flat=True))


def test_a_price_that_calls_were_charged_by_is_not_changed_but_may_be_verified() -> None:
    enter()
    till.reserved(model="house-model")

    with pytest.raises(Refused) as refused:
        enter(rates={"input": 2_000_000})
    assert "price_used" == refused.value.code
    assert date(2026, 11, 21) == enter(verified_on=date(2026, 11, 21)).verified_on


@pytest.mark.parametrize("use", [till.reserved, till.granted])
@pytest.mark.parametrize("over", [0, 50_000, 100_000])
def test_nothing_of_a_price_in_use_is_changed_and_no_band_joins_it(use: Callable[..., Any], over: int) -> None:
    """A call that was made, or that an open allowance may make, would cost something else than what was promised."""
    enter()
    enter(prompt_over=100_000)
    use(model="house-model")
    before = list(Price.objects.order_by("pk").values())

    with pytest.raises(Refused) as refused:
        enter(prompt_over=over, rates={"input": 1})
    assert "price_used" == refused.value.code
    assert before == list(Price.objects.order_by("pk").values())


def test_a_band_without_the_price_of_shorter_prompts_is_refused() -> None:
    """Without it no call of the model could be priced."""
    with pytest.raises(Invalid) as invalid:
        enter(prompt_over=200_000)
    assert "prompt_over" == invalid.value.field
    enter()

    assert 200_000 == enter(prompt_over=200_000).prompt_over


def bands_on(day: date) -> list[tuple[int, int, int]]:
    rows = Price.objects.filter(model="house-model", effective_from=day).order_by("prompt_over")
    return list(rows.values_list("prompt_over", "input", "output"))


def test_a_new_price_keeps_the_bands_of_the_one_before_until_they_are_entered() -> None:
    """Or long prompts would cost what short ones do."""
    old, new, newer = (date(2026, month, 1) for month in (1, 2, 3))
    enter(since=old, rates={"input": 5, "output": 5})
    enter(since=old, prompt_over=100, rates={"input": 10, "output": 10})
    enter(since=old, prompt_over=200, rates={"input": 20, "output": 20})
    enter(since=new, rates={"input": 15, "output": 1})
    enter(since=new, prompt_over=200, rates={"input": 30, "output": 30})
    enter(since=newer, rates={"input": 1})

    assert [(0, 15, 1), (100, 15, 10), (200, 30, 30)] == bands_on(new)
    assert [(0, 1, 0), (100, 15, 10), (200, 30, 30)] == bands_on(newer)
    taken = Price.objects.get(effective_from=new, prompt_over=100)
    assert ("Taken over from 2026-01-01.", None) == (taken.source, taken.verified_on)
    assert 10 == Event.objects.filter(kind="price.set", actor="ann").count()


def test_a_model_that_becomes_free_is_free_for_long_prompts_too() -> None:
    enter()
    enter(prompt_over=100)
    enter(since=date(2026, 2, 1), rates={}, free=True)

    assert [(0, 0, 0)] == bands_on(date(2026, 2, 1))


def test_a_price_that_nothing_was_charged_by_is_put_right() -> None:
    enter()
    enter(rates={"input": 2_000_000})

    assert 2_000_000 == Price.objects.get(model="house-model").input


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("model", {"model": "with space"}),
        ("model", {"model": "*"}),
        ("model", {"model": "a*b"}),
        ("model", {"model": ""}),
        ("model", {"model": "m" * 241}),
        ("rates", {"rates": {"input": 1.5}}),
        ("rates", {"rates": {"input": -1}}),
        ("rates", {"rates": {"input": 10**12 + 1}}),
        ("rates", {"rates": {"thinking": 1}}),
        ("free", {"rates": {}}),
        ("free", {"free": True}),
    ],
)
def test_a_price_that_cannot_be_is_refused_by_its_field(field: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as invalid:
        enter(**wanted)

    assert field == invalid.value.field
