"""What must have come true of the goal, sentence by sentence: facts in, verdicts out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from apps.demo.expectations import Expectation
from apps.demo.goal_facts import GoalFacts

THOUGHTS = 2
"""Calls of the hub's own: one plan, one judgement."""


def judge(found: GoalFacts) -> list[Expectation]:
    """Every expectation of the goal, after its pull request was merged."""
    return [_planned(found), _merged_once(found), _one_pull(found), _untouched(found), _charged(found)]


def _planned(found: GoalFacts) -> Expectation:
    sentence = "the goal was divided into two slices done side by side and a third after both"
    after = {one["number"]: one["after"] for one in found.plan["slices"]}
    if after != {1: [], 2: [], 3: [1, 2]} or after.keys() != found.tasks.keys():
        return Expectation(sentence, False, f"its slices wait for {after}")
    merged = {one["number"]: one["merged_at"] or "" for one in found.plan["slices"]}
    begun = {number: task["created_at"] for number, task in found.tasks.items()}
    held = max(begun[1], begun[2]) < min(merged[1], merged[2]) and begun[3] > max(merged[1], merged[2])
    return Expectation(sentence, held, f"handed in {begun}, merged {merged}")


def _merged_once(found: GoalFacts) -> Expectation:
    landed = [merge for merge in found.plan["merges"] if merge["status"] == "landed" and merge["slice"]]
    times = Counter(merge["slice"] for merge in landed)
    unchecked = [merge["slice"] for merge in landed if not _all_pass(merge["report"].get("checks", []))]
    held = times == dict.fromkeys(found.tasks, 1) and not unchecked
    why = f"merged {dict(times)}, without passing checks {unchecked}"
    return Expectation("each slice was merged into the goal's branch once, checked on the merged tree", held, why)


def _all_pass(checks: Sequence[dict[str, str]]) -> bool:
    return bool(checks) and all(check["status"] == "pass" for check in checks)


def _one_pull(found: GoalFacts) -> Expectation:
    pulls = [(pull["id"], pull["status"]) for pull in found.pulls]
    shown = {attempt["id"] for attempt in found.evidence.get("attempts", ())}
    done = {attempt["id"] for task in found.tasks.values() for attempt in task["attempts"]}
    held = found.goal["status"] == "complete" and pulls == [(found.goal["pull"], "merged")] and shown == done != set()
    why = f"it is {found.goal['status']}, with {pulls}, attempts {sorted(shown)} of {sorted(done)}"
    return Expectation("the goal is complete in one pull request, with the attempts of each slice", held, why)


def _untouched(found: GoalFacts) -> Expectation:
    merges = [pull["merged_commit"] for pull in found.pulls if pull["id"] == found.goal["pull"]]
    exact = found.landing is not None and found.landing.in_log and found.landing.same_patch
    held = exact and list(found.since) == merges
    why = f"since the plan it got {list(found.since)}; {found.landing}"
    return Expectation("the default branch got nothing of the goal but that merge, with exactly its patch", held, why)


def _charged(found: GoalFacts) -> Expectation:
    thinking = found.goal["cost"]["thinking"]
    held = thinking["calls"] == THOUGHTS and thinking["tokens"] > 0
    return Expectation("what the hub thought, a plan and a judgement, is charged to the goal", held, str(thinking))
