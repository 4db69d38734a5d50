"""What the smoke test makes of what it saw. The whole of it, with agents, is in tests/journeys/test_smoke.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from apps.ops import smoke
from apps.ops.smoke import Finding, Trial


def trial(agent: str = "ada", **facts: Any) -> Trial:
    return Trial(
        **{"task": 1, "status": "completed", "agent": agent, "attempts": 1, "completions": 1, "tokens": 0, "wait": 0.01,
           "took": 0.1, **facts}
    )  # fmt: skip


def judged(found: Sequence[Trial], *names: str) -> list[Finding]:
    return smoke.findings(found, wanted=10, crew_names=names or ("ada", "bob"))


def broken(found: Sequence[Trial], *names: str) -> list[str]:
    return [one.sentence for one in judged(found, *names) if not one.held]


GOOD = [trial("ada"), trial("bob")] * 5


def test_ten_tasks_done_once_and_evenly_are_well() -> None:
    assert [] == broken(GOOD)


@pytest.mark.parametrize(
    ("instead", "sentence"),
    [
        (trial(status="working", agent="", completions=0, took=None), "9/10 tasks completed"),
        (trial(task=7, completions=2), "done twice: #7"),
        (trial(tokens=500), "500 tokens spent, of less than 500"),
        (trial(wait=1.2), "1200 ms at most"),
    ],
)
def test_one_that_was_not_as_expected_is_said(instead: Trial, sentence: str) -> None:
    assert any(sentence in one for one in broken([*GOOD[1:], instead]))


def test_a_slow_assignment_only_warns() -> None:
    assert [True] == [one.warns for one in judged([*GOOD[1:], trial(wait=3.0)]) if not one.held]


def test_one_of_ten_that_never_started_leaves_no_speed_to_judge() -> None:
    assert any("nothing was assigned" in one for one in broken([trial(wait=None, status="queued", agent="")]))


@pytest.mark.parametrize(("ada", "even"), [(5, True), (7, True), (8, False), (10, False)])
def test_work_spreads_within_two_of_even(ada: int, even: bool) -> None:
    found = [trial("ada")] * ada + [trial("bob")] * (10 - ada)

    assert even is not any("uneven" in one for one in broken(found))


def test_an_idle_agent_counts_in_the_spread() -> None:
    assert any("cyd 0" in one for one in broken(GOOD, "ada", "bob", "cyd"))


def test_the_spread_is_not_judged_when_an_agent_was_lost() -> None:
    assert [] == broken([trial("bob")] * 9 + [trial("bob", attempts=2)])


def test_more_agents_get_more_tasks() -> None:
    assert [10, 10, 20, 20] == [smoke.how_many(agents) for agents in (1, 3, 4, 9)]
