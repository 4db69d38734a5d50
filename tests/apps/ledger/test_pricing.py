"""What a usage costs: whole numbers, the right band, the right day, and never nothing by mistake."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.events.refused import Invalid
from apps.ledger import prices, pricing
from apps.ledger.pricing import CLASSES, MOST_TOKENS, Estimate, Row, Unpriced, Usage, dollars

TODAY = date(2026, 11, 21)
TOKENS = st.integers(0, MOST_TOKENS)


def row(model: str = "m", since: date = date(2026, 1, 1), over: int = 0, **rates: int) -> Row:
    return Row(
        id=0, model=model, effective_from=since, prompt_over=over, **{**dict.fromkeys(CLASSES, 1_000_000), **rates}
    )


def data() -> list[Row]:
    """The prices that the hub comes with."""
    names = ("model", "effective_from", "prompt_over", *CLASSES)
    listed = prices.rows_of(prices.DATA.read_text(encoding="utf-8"))
    return [Row(id=number, **{name: values[name] for name in names}) for number, values in enumerate(listed)]


def price(model: str, usage: Usage, on: date = TODAY) -> int:
    return pricing.cost(pricing.band(pricing.price_for(data(), model, on), usage.prompt), usage)


@pytest.mark.parametrize(
    ("model", "usage", "micro"),
    [
        ("claude-opus-5-5", Usage(), 0),
        ("claude-opus-5-5", Usage(input=1_000_000), 4_000_000),
        ("claude-opus-5-5", Usage(output=1_000), 20_000),
        ("claude-opus-5-5", Usage(cache_write_5m=1_000), 5_000),
        ("claude-opus-5-5", Usage(cache_write_1h=1_000), 8_000),
        ("claude-opus-5-5", Usage(cache_write_5m=600, cache_write_1h=400), 6_200),
        ("claude-opus-5-5", Usage(cache_read=1_000), 200),
        ("claude-opus-5-5", Usage(input=3, output=5, cache_write_5m=7, cache_write_1h=11, cache_read=13), 238),
        ("claude-haiku-5-5", Usage(cache_read=50), 1),
        ("claude-haiku-5-5", Usage(cache_read=49), 0),
        ("claude-haiku-5-5", Usage(input=100_000), 10_000),
        ("claude-haiku-5-5", Usage(input=100_001), 50_001),
        ("claude-haiku-5-5", Usage(input=1, cache_read=99_999), 1_000),
        ("claude-haiku-5-5", Usage(input=1, cache_read=50_000, cache_write_1h=50_000), 52_501),
        ("claude-haiku-5-5", Usage(input=100_000, output=1_000), 10_500),
        ("claude-haiku-5-5", Usage(input=100_001, output=1_000), 52_501),
    ],
)
def test_a_usage_costs_its_classes_at_the_rates_of_its_band_rounded_half_up_once(model, usage, micro):
    assert micro == price(model, usage)


@pytest.mark.parametrize(
    ("on", "read"), [(date(2026, 7, 1), 200_000), (date(2026, 10, 6), 200_000), (date(2026, 10, 7), 100_000)]
)
def test_the_newest_price_in_effect_on_the_day_counts(on, read):
    assert read == price("claude-sonnet-5-5", Usage(cache_read=1_000_000), on)


@pytest.mark.parametrize(
    ("model", "on"), [("gpt-9", TODAY), ("claude-opus-5-5", date(2026, 6, 30)), ("", TODAY), ("claude", TODAY)]
)
def test_without_a_price_in_effect_there_is_a_refusal_and_never_zero(model, on):
    with pytest.raises(Unpriced) as refused:
        pricing.price_for(data(), model, on)

    assert ("price_unknown", {"model": model}) == (refused.value.code, refused.value.facts)


@pytest.mark.parametrize(
    ("model", "own"),
    [("a:b:c", "a:b:c"), ("a:b:d", "a:b:*"), ("a:x", "a:*"), ("a:late", "a:*")],
)
def test_a_models_own_price_goes_before_a_pattern_and_a_longer_pattern_before_a_shorter(model, own):
    table = [row("a:*"), row("a:b:*"), row("a:b:c"), row("a:late", since=date(2027, 1, 1))]

    assert [own] == [one.model for one in pricing.price_for(table, model, TODAY)]


def test_bands_of_an_older_price_do_not_mix_with_the_newest():
    table = [row(over=0), row(over=100), row(since=date(2026, 5, 1))]

    assert [date(2026, 5, 1)] == [one.effective_from for one in pricing.price_for(table, "m", TODAY)]


def test_a_price_that_leaves_short_prompts_out_is_no_price():
    with pytest.raises(Unpriced):
        pricing.price_for([row(over=100)], "m", TODAY)


@pytest.mark.parametrize(
    ("estimate", "micro"),
    [
        (Estimate(prompt=1_000, output=1_000, counted=True), 700),
        (Estimate(prompt=100_000, output=0, counted=True), 20_000),
        (Estimate(prompt=100_001, output=0, counted=True), 100_001),
        (Estimate(prompt=1_000, output=1_000), 3_500),
    ],
)
def test_an_estimate_assumes_the_dearest_class_and_unless_counted_the_dearest_band(estimate, micro):
    assert micro == pricing.most(pricing.price_for(data(), "claude-haiku-5-5", TODAY), estimate)[0]


@given(usage=st.builds(Usage, **dict.fromkeys(CLASSES, TOKENS)), counted=st.booleans())
def test_no_usage_within_an_estimate_costs_more_than_it(usage: Usage, counted: bool) -> None:
    bands = pricing.price_for(data(), "claude-haiku-5-5", TODAY)
    prompt = min(usage.prompt, MOST_TOKENS)
    if prompt < usage.prompt:
        return
    estimate = Estimate(prompt=prompt, output=usage.output, counted=counted)

    assert pricing.cost(pricing.band(bands, usage.prompt), usage) <= pricing.most(bands, estimate)[0]


def test_what_is_not_certain_costs_the_most_that_it_can() -> None:
    """Its input may have been written to a cache; what is known to be read from one was that."""
    low = row(input=4, cache_write_5m=5, cache_write_1h=8, cache_read=1, output=2)
    high = row(over=2**40, input=40, cache_write_5m=50, cache_write_1h=80, cache_read=10, output=20)
    usage = Usage(input=1_000_000, cache_read=1_000_000, output=1_000_000)

    assert (11, low) == pricing.worst([low], usage)
    assert (110, high) == pricing.worst([low, high], usage)


@given(usage=st.builds(Usage, **dict.fromkeys(CLASSES, TOKENS)))
def test_money_is_whole_and_exactly_what_decimals_say(usage: Usage) -> None:
    one = row(input=4_000_001, output=20_000_003, cache_write_5m=125_007, cache_write_1h=11, cache_read=3)
    exact = sum(Decimal(getattr(usage, name)) * getattr(one, name) for name in CLASSES) / Decimal(1_000_000)
    found = pricing.cost(one, usage)

    assert int is type(found)
    assert int(Decimal(exact).quantize(Decimal(1), ROUND_HALF_UP)) == found


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "1", None, MOST_TOKENS + 1])
@pytest.mark.parametrize("name", CLASSES)
def test_a_usage_that_is_no_number_of_tokens_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(Invalid):
        Usage(**{name: wrong})


@pytest.mark.parametrize("wrong", [{"prompt": -1, "output": 1}, {"prompt": 1, "output": 0.5}])
def test_an_estimate_that_is_no_number_of_tokens_is_refused(wrong: Any) -> None:
    with pytest.raises(Invalid):
        Estimate(**wrong)


@pytest.mark.parametrize(
    ("micro", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (10, "$0.00001"),
        (1_500_000, "$1.50"),
        (25_000_000, "$25.00"),
        (1_234_567_890, "$1,234.56789"),
        (-1_000_001, "-$1.000001"),
    ],
)
def test_money_is_shown_with_two_to_six_decimals(micro, shown):
    assert shown == dollars(micro)


@pytest.mark.parametrize(
    ("verified_on", "stale"), [(None, True), (date(2026, 8, 23), False), (date(2026, 8, 22), True), (TODAY, False)]
)
def test_after_ninety_days_somebody_should_look_at_the_list_again(verified_on, stale):
    assert stale is pricing.is_stale(verified_on, TODAY)
