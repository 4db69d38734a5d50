"""What an attempt may spend, and that every call is in the book."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ledger import pricing
from sidecar.agent.endings import OutOfMoney, OutOfTokens
from sidecar.agent.purse import Kept, cost, worst_cost, worst_of
from sidecar.agent.talk import Usage
from sidecar.callbook import CallBook
from sidecar.wire.nouns import Allowance, Rate

HAIKU = [
    Rate(
        prompt_over=0, input=100_000, output=500_000, cache_write_5m=125_000, cache_write_1h=200_000, cache_read=10_000
    ),
    Rate(
        prompt_over=100_000,
        input=500_000,
        output=2_500_000,
        cache_write_5m=625_000,
        cache_write_1h=1_000_000,
        cache_read=50_000,
    ),
]
COUNTS = st.integers(0, 2_000_000)


@pytest.fixture
def book(tmp_path):
    return CallBook(tmp_path)


def purse(book, **allowance) -> Kept:
    given = Allowance(**{"microusd": 1_000_000, "tokens": 1_000_000, "calls": 50, "rates": HAIKU, **allowance})
    return Kept(given, book, task=4, attempt=9, model="claude-haiku-5-5")


def reported(book) -> list[tuple[dict[str, int], bool]]:
    return [(dict(call.tokens), call.certain) for frame in book.due(0) for call in frame.calls]


def test_a_call_is_reported_with_what_it_used(book):
    kept = purse(book)
    kept.end(kept.begin(1_000, 500), Usage(input=900, output=40, cache_read=80), seconds=1.5, request_id="req_1")
    ((call,),) = (frame.calls for frame in book.due(0))

    assert {"input": 900, "output": 40, "cache_read": 80} == call.tokens
    assert (True, 1_500, "req_1") == (call.certain, call.duration_ms, call.request_id)
    assert (cost(HAIKU, Usage(input=900, output=40, cache_read=80)), 1_020) == (kept.microusd, kept.tokens)


def test_a_usage_that_was_guessed_is_not_certain(book):
    kept = purse(book)
    kept.end(kept.begin(1_000, 500), Usage(input=900, output=40, measured=False))

    assert [({"input": 900, "output": 40}, False)] == reported(book)
    assert worst_cost(HAIKU, 900, 40) == kept.microusd


def test_a_call_that_certainly_cost_nothing_is_not_reported(book):
    kept = purse(book, calls=1)
    kept.void(kept.begin(1_000, 500))

    assert [] == reported(book)
    assert kept.begin(1_000, 500)


def test_what_the_next_call_may_cost_has_to_fit(book):
    worst = worst_cost(HAIKU, 1_000, 500)
    kept = purse(book, microusd=worst)
    kept.end(kept.begin(1_000, 500), Usage(input=10))

    with pytest.raises(OutOfMoney, match=f"{worst} micro-USD"):
        kept.begin(1_000, 500)


def test_what_is_free_needs_no_money(book):
    assert purse(book, microusd=0, rates=[Rate()]).begin(1_000, 500)
    assert purse(book, microusd=0, rates=[]).begin(1_000, 500)


@pytest.mark.parametrize("limit", [{"tokens": 1_499}, {"calls": 0}])
def test_tokens_and_calls_are_limited_too(book, limit):
    with pytest.raises(OutOfTokens):
        purse(book, **limit).begin(1_000, 500)


@given(st.builds(Usage, input=COUNTS, output=COUNTS, cache_write_5m=COUNTS, cache_write_1h=COUNTS, cache_read=COUNTS))
def test_it_costs_here_what_it_costs_in_the_ledger(usage):
    rows = [pricing.Row(id=n, model="m", effective_from=date.min, **rate.model_dump()) for n, rate in enumerate(HAIKU)]
    theirs = pricing.Usage(**{name: getattr(usage, name) for name in pricing.CLASSES})

    assert pricing.cost(pricing.band(rows, theirs.prompt), theirs) == cost(HAIKU, usage)
    assert pricing.worst(rows, theirs)[0] == worst_of(HAIKU, usage)
    assert cost(HAIKU, usage) <= worst_of(HAIKU, usage) <= worst_cost(HAIKU, usage.prompt, usage.output)
