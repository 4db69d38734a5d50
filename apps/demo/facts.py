"""What has come of the demonstration, read over REST and out of the sample's own git; and the table that shows it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from apps.demo.ground import git
from apps.demo.rest import Rest

HEAD = ("task", "agent", "attempts", "checks", "pull request", "time")
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Landing:
    """How a merged pull request stands in the sample's git: is it in `git log`, and with exactly its patch?"""

    in_log: bool
    same_patch: bool


@dataclass(frozen=True)
class Facts:
    """Everything by the key of its errand."""

    tasks: Mapping[str, Json]
    events: Mapping[str, Sequence[str]]
    pulls: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    evidence: Mapping[str, Json] = field(default_factory=dict)
    landings: Mapping[str, Landing] = field(default_factory=dict)
    trajectories: Mapping[str, Json] = field(default_factory=dict)


async def gather(rest: Rest, numbers: Mapping[str, int], sample: Path, mirror: Path) -> Facts:
    """Ask for all of it."""
    tasks = {key: await rest.get(f"/api/tasks/{number}") for key, number in numbers.items()}
    histories = {key: await rest.all(f"/api/tasks/{number}/history?page_size=100") for key, number in numbers.items()}
    events = {key: [event["kind"] for event in reversed(history)] for key, history in histories.items()}
    every = await rest.all("/api/pulls?page_size=100")
    pulls = {key: [pull for pull in every if pull["task"] == number] for key, number in numbers.items()}
    firsts = {key: found[0] for key, found in pulls.items() if found}
    evidence = {key: await rest.get(f"/api/pulls/{pull['id']}/evidence") for key, pull in firsts.items()}
    landings = {key: landing(sample, mirror, pull) for key, pull in firsts.items() if pull["status"] == "merged"}
    trajectories = {key: await rest.get(f"/api/tasks/{number}/trajectory") for key, number in numbers.items()}
    return Facts(tasks, events, pulls, evidence, landings, trajectories)


def landing(sample: Path, mirror: Path, pull: Json) -> Landing:
    """Compare what was proposed, as the hub's mirror has it, with what the sample's branch got."""
    commit, head = pull["merged_commit"], pull["head"]
    try:
        if commit not in git(sample, "log", "--format=%H", "main").split():
            return Landing(False, False)
        fork = git(mirror, "merge-base", f"{commit}^1", head).strip()
        return Landing(True, _patch(mirror, fork, head) == _patch(sample, f"{commit}^1", commit))
    except subprocess.CalledProcessError:
        return Landing(False, False)


def _patch(sample: Path, old: str, new: str) -> str:
    shown = git(sample, "diff", old, new)
    return git(sample, "patch-id", "--stable", stdin=shown).partition(" ")[0]


def rows(facts: Facts) -> list[tuple[str, ...]]:
    """The closing table, below HEAD."""
    return [_row(key, task, facts) for key, task in facts.tasks.items()]


def _row(key: str, task: Json, facts: Facts) -> tuple[str, ...]:
    last = task["attempts"][-1] if task["attempts"] else None
    checks = last["reports"][-1]["checks"] if last and last["reports"] else []
    passed = sum(check["status"] == "pass" for check in checks)
    return (
        f"#{task['id']} {task['title']}",
        last["agent"] if last else "",
        str(len(task["attempts"])),
        f"{passed} of {len(checks)}",
        _pull(key, task, facts),
        took(task),
    )


def _pull(key: str, task: Json, facts: Facts) -> str:
    found = facts.pulls.get(key, ())
    if not found:
        return "none: dead letter" if task["status"] == "dead" else f"none: {task['status']}"
    proof = facts.evidence[key]["verification"] or {}
    how = ", verified" if proof.get("status") == "passed" else ""
    return f"!{found[0]['id']} {found[0]['status']}{how}"


def took(it: Json) -> str:
    """How long a task or a goal took, from handing in to its end."""
    if not it["finished_at"]:
        return ""
    time = datetime.fromisoformat(it["finished_at"]) - datetime.fromisoformat(it["created_at"])
    return f"{time.total_seconds():.1f} s"
