"""What must have come true, sentence by sentence: facts in, verdicts out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.demo.errands import ERRANDS, SLOW, Errand
from apps.demo.facts import Facts

ALL = (*ERRANDS, SLOW)


@dataclass(frozen=True)
class Expectation:
    """A sentence, whether it held, and if not what was found instead."""

    sentence: str
    held: bool
    why: str = ""


def judge(facts: Facts, errands: Sequence[Errand] = ALL) -> list[Expectation]:
    """Every expectation of an unattended run, after all was merged."""
    done = [errand for errand in errands if errand.status == "completed"]
    return [
        _ended(facts, errands),
        _one_dead(facts),
        *_told(facts, errands),
        _killed(facts),
        _waited(facts, errands),
        _one_pull_each(facts, errands, done),
        _evidence(facts, done),
        _independent(facts, done),
        _merged(facts, done),
        _patches(facts, done),
        _salvaged(facts, errands),
        _thought(facts, errands),
    ]


def _expect(sentence: str, wrong: Sequence[str]) -> Expectation:
    return Expectation(sentence, not wrong, "; ".join(wrong))


def _ended(facts: Facts, errands: Sequence[Errand]) -> Expectation:
    wrong = [
        f"{errand.key} is {facts.tasks[errand.key]['status']}, not {errand.status}"
        for errand in errands
        if facts.tasks[errand.key]["status"] != errand.status
    ]
    return _expect("every task ended as it should", wrong)


def _one_dead(facts: Facts) -> Expectation:
    dead = [key for key, task in facts.tasks.items() if task["status"] == "dead"]
    whole = [key for key in dead if all(attempt["reports"] for attempt in facts.tasks[key]["attempts"])]
    wrong = [] if len(dead) == len(whole) == 1 else [f"in the dead letter: {dead}, with evidence: {whole}"]
    return _expect("exactly one task is in the dead letter, with the evidence of each attempt", wrong)


def _outcomes(facts: Facts, key: str) -> tuple[str, ...]:
    return tuple(attempt["outcome"] for attempt in facts.tasks[key]["attempts"])


def _told(facts: Facts, errands: Sequence[Errand]) -> Iterator[Expectation]:
    for errand in errands:
        if errand.outcomes == ("unverified", "succeeded"):
            found = _outcomes(facts, errand.key)
            wrong = [] if found == errand.outcomes else [f"its attempts were {', '.join(found)}"]
            yield _expect("the task that failed its checks was tried again, told what failed, and succeeded", wrong)


def _killed(facts: Facts) -> Expectation:
    sentence = "the task of the killed sidecar was finished by the other one, once"
    attempts = facts.tasks[SLOW.key]["attempts"]
    times = facts.events[SLOW.key].count("task.completed")
    agents = [attempt["agent"] for attempt in attempts]
    held = _outcomes(facts, SLOW.key) == SLOW.outcomes and len(set(agents)) == 2 and times == 1
    return Expectation(sentence, held, f"{_outcomes(facts, SLOW.key)} by {agents}, completed {times} times")


def _waited(facts: Facts, errands: Sequence[Errand]) -> Expectation:
    wrong = []
    for errand in errands:
        if errand.after:
            events, before = facts.events[errand.key], facts.tasks[errand.after]["finished_at"]
            first = facts.tasks[errand.key]["attempts"][:1]
            if "task.ready" not in events or not first or first[0]["assigned_at"] < before:
                wrong.append(f"{errand.key}: {', '.join(events)}")
    return _expect("the task that depends on another one waited for it", wrong)


def _one_pull_each(facts: Facts, errands: Sequence[Errand], done: Sequence[Errand]) -> Expectation:
    wanted = {errand.key: int(errand in done) for errand in errands}
    wrong = [f"{key} has {len(facts.pulls[key])}" for key, many in wanted.items() if len(facts.pulls[key]) != many]
    return _expect("every completed task has exactly one pull request, and the dead one none", wrong)


def _evidence(facts: Facts, done: Sequence[Errand]) -> Expectation:
    wrong = []
    for errand in done:
        found = facts.evidence.get(errand.key)
        shown = bool(
            found and found["reproduce"] and found["log_digest"] and len(found["checks"]) == len(errand.checks)
        )
        if not shown or found is None or any(check["verified"] != "pass" for check in found["checks"]):
            wrong.append(errand.key)
    return _expect("every pull request carries its evidence, each check passed on a clean checkout", wrong)


def _independent(facts: Facts, done: Sequence[Errand]) -> Expectation:
    wrong = []
    for errand in done:
        found = facts.evidence.get(errand.key, {})
        proof = found.get("verification") or {}
        if proof.get("verifier") in {None, "", found.get("agent")}:
            wrong.append(f"{errand.key} by {proof.get('verifier') or 'nobody'}")
    return _expect("every pull request was verified by another agent than its author", wrong)


def _merged(facts: Facts, done: Sequence[Errand]) -> Expectation:
    wrong = [
        f"{errand.key}: {[pull['status'] for pull in facts.pulls[errand.key]]}"
        for errand in done
        if [pull["status"] for pull in facts.pulls[errand.key]] != ["merged"]
    ]
    return _expect("every pull request is merged", wrong)


def _patches(facts: Facts, done: Sequence[Errand]) -> Expectation:
    wrong = []
    for errand in done:
        found = facts.landings.get(errand.key)
        if found is None or not (found.in_log and found.same_patch):
            wrong.append(f"{errand.key}: {found}")
    return _expect("git log of the sample shows every merge, each with exactly its patch", wrong)


def _salvaged(facts: Facts, errands: Sequence[Errand]) -> Expectation:
    wrong = [
        f"attempt {attempt['id']} of {errand.key}"
        for errand in errands
        for attempt in facts.tasks[errand.key]["attempts"]
        if attempt["outcome"] in {"unverified", "reclaimed"} and not attempt["salvage_ref"]
    ]
    return _expect("what every unfinished attempt had changed is saved on a ref of its own", wrong)


def _thought(facts: Facts, errands: Sequence[Errand]) -> Expectation:
    wrong = []
    for errand in errands:
        steps = facts.trajectories.get(errand.key, {}).get("steps", [])
        tools = {use["name"] for step in steps for use in step["uses"]}
        if errand.words and not {"read_file", "edit_file", "finish_task"} <= tools:
            wrong.append(f"{errand.key} used {', '.join(sorted(tools)) or 'no tools'}")
    return _expect("the tasks in words were done through tools, and every step can be read again", wrong)


def suite(sample: Path) -> Expectation:
    """The sample's own tests, on what is on its branch now."""
    command = [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    done = subprocess.run(command, cwd=sample, capture_output=True, text=True, timeout=60, check=False)
    sentence = "the sample's own tests pass on what was merged"
    return Expectation(sentence, done.returncode == 0, done.stderr[-500:])
