"""Which accounts a call is counted in, and whether they have room."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from apps.ledger.limits import NOTHING, Amount, Limits, Shortfall, keys_of, percent, shortfall, usually

AT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("limits", "used", "ask", "expected"),
    [
        (Limits(), Amount(micro=10**9), Amount(micro=1), None),
        (Limits(micro=10), Amount(micro=7), Amount(micro=3), None),
        (Limits(micro=10), Amount(micro=7), Amount(micro=4), Shortfall("micro", 3, 4)),
        (Limits(micro=10), Amount(micro=12), Amount(micro=1), Shortfall("micro", 0, 1)),
        (Limits(micro=10), Amount(micro=12), Amount(tokens=5, calls=1), None),
        (Limits(micro=10, enforce=False), Amount(micro=12), Amount(micro=1), None),
        (Limits(calls=0), NOTHING, Amount(calls=1), Shortfall("calls", 0, 1)),
        (Limits(tokens=5, calls=5), Amount(calls=5), Amount(tokens=5, calls=1), Shortfall("calls", 0, 1)),
    ],
)
def test_what_does_not_fit_beside_what_is_used_falls_short(limits, used, ask, expected):
    assert expected == shortfall(limits, used, ask)


@pytest.mark.parametrize(
    ("limits", "used", "expected"),
    [
        (Limits(), Amount(micro=10**9), Amount(micro=5, tokens=50)),
        (Limits(micro=10), Amount(micro=7), Amount(micro=3, tokens=50)),
        (Limits(micro=10, tokens=40), Amount(micro=12, tokens=1), Amount(micro=0, tokens=39)),
        (Limits(micro=10, calls=0), NOTHING, Amount(micro=5, tokens=50)),
        (Limits(micro=10, enforce=False), Amount(micro=12), Amount(micro=5, tokens=50)),
    ],
)
def test_as_much_fits_as_every_measure_has_room_for(limits, used, expected):
    ask = Amount(micro=5, tokens=50)

    assert expected == limits.room(used, ask)
    assert shortfall(limits, used, expected) is None


@pytest.mark.parametrize(
    ("limits", "used", "expected"),
    [
        (Limits(), Amount(micro=5), None),
        (Limits(micro=10), Amount(micro=8), 80),
        (Limits(micro=10, calls=2), Amount(micro=1, calls=1), 50),
        (Limits(micro=0), NOTHING, 100),
        (Limits(micro=10), Amount(micro=15), 150),
    ],
)
def test_the_measure_nearest_its_limit_says_how_much_is_used(limits, used, expected):
    assert expected == percent(limits, used)


MOST = Amount(micro=1_000, tokens=1_000, calls=10)


def attempts(*micro: int) -> list[tuple[Amount, Amount]]:
    return [(Amount(micro=each, tokens=each, calls=2), MOST) for each in micro]


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        (attempts(*[100] * 19), MOST),
        (attempts(*[100] * 20), Amount(micro=100, tokens=100, calls=2)),
        (attempts(*range(1, 101)), Amount(micro=95, tokens=95, calls=2)),
        (attempts(*[100] * 19, 700), Amount(micro=100, tokens=100, calls=2)),
        (attempts(*[100] * 18, 700, 700), Amount(micro=700, tokens=700, calls=2)),
        (attempts(*[100] * 18, 800, 800), Amount(micro=1_000, tokens=1_000, calls=2)),
        (
            [(Amount(micro=0, tokens=50, calls=1), Amount(micro=0, tokens=1_000, calls=10))] * 20,
            replace(MOST, tokens=50, calls=1),
        ),
    ],
)
def test_what_most_attempts_needed_is_what_one_usually_needs(spent, expected):
    assert expected == usually(MOST, spent)


def test_a_call_is_counted_for_all_it_is_for_and_for_its_time_in_utc():
    east = AT.astimezone(timezone(timedelta(hours=14)))

    assert [
        ("day", "2026-11-21"),
        ("hour", "2026-11-21T12"),
        ("hub", ""),
        ("month", "2026-11"),
        ("purpose", "work"),
        ("task", "42"),
    ] == keys_of({"task": "42", "goal": ""}, "work", east)


@pytest.mark.parametrize("scope", ["day", "hub", "purpose", "planet"])
def test_nobody_names_a_scope_that_follows_by_itself(scope):
    with pytest.raises(ValueError, match=scope):
        keys_of({scope: "x"}, "work", AT)
