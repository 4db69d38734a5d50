"""Buckets fill steadily, one for each caller, and a rate that says nothing is refused."""

from __future__ import annotations

import pytest

from apps.agents import throttling
from apps.agents.throttling import Buckets, parse


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_lets_its_size_through_and_then_says_how_long_to_wait():
    clock = Clock()
    buckets = Buckets(2, 60, clock)

    assert [0, 0, 30] == [buckets.take("a") for _ in range(3)]
    clock.now = 15
    assert 15 == buckets.take("a")
    clock.now = 30
    assert [0, 30] == [buckets.take("a"), buckets.take("a")]


def test_callers_do_not_share_a_bucket_and_looking_takes_nothing():
    buckets = Buckets(1, 60, Clock())
    buckets.take("a")

    assert 60 == buckets.wait("a")
    assert [0, 0, 0] == [buckets.wait("b"), buckets.wait("b"), buckets.take("b")]


def test_a_bucket_never_holds_more_than_its_size():
    clock = Clock()
    buckets = Buckets(2, 60, clock)
    buckets.take("a")
    clock.now = 10_000

    assert [0, 0, 30] == [buckets.take("a") for _ in range(3)]


def test_strangers_without_number_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(throttling, "MOST_CALLERS", 10)
    buckets = Buckets(1, 60, Clock())

    for number in range(100):
        buckets.take(str(number))

    assert len(buckets._levels) <= 10


@pytest.mark.parametrize("rate", ["", "6000", "0/min", "-1/min", "x/min", "5/fortnight", "1.5/min"])
def test_a_rate_that_says_nothing_is_refused(rate):
    with pytest.raises(ValueError, match="looks like"):
        parse(rate)


def test_a_rate_is_so_many_in_a_period():
    assert (6000, 60) == (parse("6000/min").size, parse("6000/min").period)
