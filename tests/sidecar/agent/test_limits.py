"""How far a run may go, and what counts towards it."""

from __future__ import annotations

import pytest

from sidecar.agent.limits import Limits, Spent, check
from sidecar.agent.talk import Usage

LIMITS = Limits(steps=5, seconds=60.0)


@pytest.mark.parametrize(
    ("steps", "elapsed", "code"),
    [
        (0, 0.0, ""),
        (4, 59.9, ""),
        (5, 0.0, "out_of_steps"),
        (6, 59.9, "out_of_steps"),
        (0, 60.0, "deadline"),
        (5, 60.0, "deadline"),
    ],
)
def test_time_comes_before_steps(steps, elapsed, code):
    ending = check(LIMITS, Spent(steps=steps), elapsed)

    assert code == (ending.code if ending else "")


def test_what_has_run_out_is_worth_checking_and_says_what_it_was():
    late, out = check(LIMITS, Spent(), 61.0), check(LIMITS, Spent(steps=5), 0.0)

    assert ("The 60 seconds for the work are over.", True) == (late.message, late.partial)  # type: ignore[union-attr]
    assert ("All 5 steps are made.", True) == (out.message, out.partial)  # type: ignore[union-attr]


def test_calls_are_counted_whatever_came_of_them():
    spent = Spent()
    spent.add(Usage(input=10, output=2))
    spent.add(Usage(cache_read=5, cache_write_5m=1, measured=False))

    assert (2, 0, 16, 2, False) == (
        spent.calls,
        spent.steps,
        spent.usage.prompt,
        spent.usage.output,
        spent.usage.measured,
    )
