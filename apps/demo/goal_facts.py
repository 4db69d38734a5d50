"""What has come of the goal of the demonstration, read over REST and out of the sample's own git; and its row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.demo.facts import Json, Landing, landing, took
from apps.demo.ground import git
from apps.demo.rest import Rest


@dataclass(frozen=True)
class GoalFacts:
    """`tasks` by the number of their slice; `pulls` are all that no errand has; `since` is what main got since then."""

    goal: Json
    plan: Json
    tasks: Mapping[int, Json]
    pulls: Sequence[Json] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    landing: Landing | None = None
    since: Sequence[str] = ()


async def gather(rest: Rest, number: int, errands: Collection[int], sample: Path, mirror: Path) -> GoalFacts:
    """Ask for all of it; `errands` are the tasks that were handed in beside the goal."""
    goal, plan = await rest.get(f"/api/goals/{number}"), await rest.get(f"/api/goals/{number}/plan")
    tasks = {one["number"]: await rest.get(f"/api/tasks/{one['task']}") for one in plan["slices"] if one["task"]}
    pulls = [pull for pull in await rest.all("/api/pulls?page_size=100") if pull["task"] not in errands]
    evidence = await rest.get(f"/api/pulls/{goal['pull']}/evidence") if goal["pull"] else {}
    merged = next((pull for pull in pulls if pull["id"] == goal["pull"] and pull["status"] == "merged"), None)
    since = git(sample, "log", "--first-parent", "--format=%H", f"{goal['base']}..main").split() if merged else []
    landed = landing(sample, mirror, merged) if merged else None
    return GoalFacts(goal, plan, tasks, pulls, evidence, landed, since)


def row(found: GoalFacts) -> tuple[str, ...]:
    """The goal in the closing table, whose head is in `facts`."""
    pull = next((pull for pull in found.pulls if pull["id"] == found.goal["pull"]), None)
    checks = found.evidence.get("checks", [])
    passed = sum(check["verified"] == "pass" for check in checks)
    proof = found.evidence.get("verification") or {}
    how = ", verified" if proof.get("status") == "passed" else ""
    return (
        f"G{found.goal['id']} {found.goal['title']}",
        f"{len(found.plan['slices'])} slices",
        str(sum(len(task["attempts"]) for task in found.tasks.values())),
        f"{passed} of {len(checks)}",
        f"!{pull['id']} {pull['status']}{how}" if pull else f"none: {found.goal['status']}",
        took(found.goal),
    )
