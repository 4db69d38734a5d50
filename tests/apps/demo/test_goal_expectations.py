"""Every expectation of the demonstration's goal can fail."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from apps.demo import goal_expectations
from apps.demo.facts import HEAD, Landing
from apps.demo.goal_facts import GoalFacts, row

PASSED = {"checks": [{"status": "pass"}]}


def at(second: int) -> str:
    return f"2030-01-01T00:00:{second:02}Z"


def one(number: int, after: list[int], merged: int) -> dict[str, Any]:
    return {"number": number, "after": after, "merged_at": at(merged)}


@pytest.fixture
def facts() -> GoalFacts:
    begun = {1: 1, 2: 1, 3: 9}
    return GoalFacts(
        goal={
            "id": 1,
            "title": "Say it",
            "status": "complete",
            "pull": 9,
            "created_at": at(0),
            "finished_at": at(20),
            "cost": {"thinking": {"calls": 2, "tokens": 900}},
        },
        plan={
            "slices": [one(1, [], 7), one(2, [], 5), one(3, [1, 2], 15)],
            "merges": [{"slice": number, "status": "landed", "report": PASSED} for number in begun],
        },
        tasks={number: {"created_at": at(second), "attempts": [{"id": number}]} for number, second in begun.items()},
        pulls=[{"id": 9, "status": "merged", "merged_commit": "abc"}],
        evidence={
            "attempts": [{"id": 1}, {"id": 2}, {"id": 3}],
            "checks": [{"verified": "pass"}],
            "verification": {"status": "passed"},
        },
        landing=Landing(True, True),
        since=["abc"],
    )


def failing(facts: GoalFacts) -> list[str]:
    return [one.sentence for one in goal_expectations.judge(facts) if not one.held]


def test_everything_holds_when_all_went_as_told(facts):
    assert [] == failing(facts)


PLANNED, MERGED = "the goal was divided", "each slice was merged"
PULL, TOUCHED, CHARGED = "the goal is complete in one", "the default branch got nothing", "what the hub thought"
CHANGES: list[tuple[Callable[[Any], object], str]] = [
    (lambda f: f.plan["slices"].pop(), PLANNED),
    (lambda f: f.plan["slices"][2].update(after=[1]), PLANNED),
    (lambda f: f.tasks[2].update(created_at=at(8)), PLANNED),
    (lambda f: f.tasks[3].update(created_at=at(6)), PLANNED),
    (lambda f: f.plan["merges"].append(f.plan["merges"][0]), MERGED),
    (lambda f: f.plan["merges"].pop(), MERGED),
    (lambda f: f.plan["merges"][1].update(report={"checks": [{"status": "fail"}]}), MERGED),
    (lambda f: f.pulls.append({"id": 10, "status": "open", "merged_commit": ""}), PULL),
    (lambda f: f.goal.update(status="needs_review"), PULL),
    (lambda f: f.evidence["attempts"].pop(), PULL),
    (lambda f: f.since.append("def"), TOUCHED),
    (lambda f: f.goal["cost"]["thinking"].update(calls=3), CHARGED),
    (lambda f: f.goal["cost"]["thinking"].update(tokens=0), CHARGED),
]


@pytest.mark.parametrize(("change", "sentence"), CHANGES)
def test_each_expectation_can_fail(facts, change, sentence):
    different = copy.deepcopy(facts)
    change(different)

    assert [True] == [one.startswith(sentence) for one in failing(different)], failing(different)


def test_the_goal_has_a_row_below_the_tasks(facts):
    assert ("G1 Say it", "3 slices", "3", "1 of 1", "!9 merged, verified", "20.0 s") == row(facts)
    assert len(HEAD) == len(row(facts))


def test_a_goal_without_a_pull_request_has_its_row():
    goal = {"id": 1, "title": "Say it", "status": "failed", "pull": None, "created_at": at(0), "finished_at": None}

    assert ("G1 Say it", "0 slices", "0", "0 of 0", "none: failed", "") == row(GoalFacts(goal, {"slices": []}, {}))
