"""Every expectation of an unattended demonstration can fail."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from apps.demo import expectations
from apps.demo.errands import ERRANDS, SLOW
from apps.demo.facts import HEAD, Facts, Landing, rows
from apps.demo.ground import SAMPLE


def task(number: int, errand: Any) -> dict[str, Any]:
    passed = {"checks": [{"status": "pass"} for _ in errand.checks]}
    failed = {"checks": [{"status": "fail"} for _ in errand.checks]}
    attempts = [
        {
            "id": 10 * number + nth,
            "agent": ("ada", "bob")[nth % 2],
            "outcome": outcome,
            "reports": [passed if outcome == "succeeded" else failed],
            "salvage_ref": "" if outcome == "succeeded" else "refs/agentcom/salvage/1",
            "assigned_at": f"2030-01-01T00:00:{number:02}Z",
        }
        for nth, outcome in enumerate(errand.outcomes)
    ]
    return {
        "id": number,
        "title": errand.title,
        "status": errand.status,
        "attempts": attempts,
        "created_at": "2030-01-01T00:00:00Z",
        "finished_at": "2030-01-01T00:00:02.5Z",
    }


@pytest.fixture
def facts() -> Facts:
    every = (*ERRANDS, SLOW)
    done = [errand.key for errand in every if errand.status == "completed"]
    checks = {errand.key: [{"verified": "pass"} for _ in errand.checks] for errand in every}
    proof = {"status": "passed", "verifier": "eva"}
    used = [{"name": name} for name in ("read_file", "edit_file", "finish_task")]
    return Facts(
        tasks={errand.key: task(number, errand) for number, errand in enumerate(every, start=1)},
        events={errand.key: ["task.submitted", "task.ready", "task.completed"] for errand in every},
        pulls={e.key: [{"id": 5, "status": "merged"}] if e.key in done else [] for e in every},
        evidence={
            key: {
                "reproduce": "git …",
                "log_digest": "f00",
                "checks": checks[key],
                "verification": proof,
                "agent": "ada",
            }
            for key in done
        },
        landings={key: Landing(True, True) for key in done},
        trajectories={errand.key: {"steps": [{"uses": used}] if errand.words else []} for errand in every},
    )


def failing(facts: Facts) -> list[str]:
    return [one.sentence for one in expectations.judge(facts) if not one.held]


def test_everything_holds_when_all_went_as_told(facts):
    assert [] == failing(facts)


def kill_nobody(facts: Any) -> None:
    for attempt in facts.tasks["letters"]["attempts"]:
        attempt["agent"] = "ada"


def start_too_early(facts: Any) -> None:
    facts.tasks["manual"]["attempts"][0]["assigned_at"] = "2029-12-31T00:00:00Z"


CHANGES: list[tuple[Callable[[Any], object], str]] = [
    (lambda f: f.tasks["rows"].update(status="dead"), "every task ended as it should"),
    (lambda f: f.tasks["wrapping"].update(status="completed"), "exactly one task is in the dead letter"),
    (lambda f: f.tasks["wrapping"]["attempts"][0].update(reports=[]), "exactly one task is in the dead letter"),
    (lambda f: f.tasks["durations"]["attempts"].pop(), "the task that failed its checks was tried again"),
    (kill_nobody, "the task of the killed sidecar was finished by the other one"),
    (lambda f: f.events["letters"].append("task.completed"), "the task of the killed sidecar was finished"),
    (start_too_early, "the task that depends on another one waited for it"),
    (lambda f: f.events["manual"].remove("task.ready"), "the task that depends on another one waited for it"),
    (lambda f: f.pulls["slugs"].append({"id": 6, "status": "open"}), "every completed task has exactly one pull"),
    (lambda f: f.pulls["wrapping"].append({"id": 6, "status": "open"}), "every completed task has exactly one pull"),
    (lambda f: f.evidence["slugs"]["checks"][0].update(verified="fail"), "every pull request carries its evidence"),
    (lambda f: f.evidence["slugs"].update(reproduce=""), "every pull request carries its evidence"),
    (lambda f: f.evidence.pop("slugs"), "every pull request carries its evidence"),
    (
        lambda f: f.evidence["rows"].update(verification={"verifier": "ada"}),
        "every pull request was verified by another",
    ),
    (lambda f: f.evidence["rows"].update(verification=None), "every pull request was verified by another"),
    (lambda f: f.pulls["slugs"][0].update(status="open"), "every pull request is merged"),
    (lambda f: f.landings.update(rows=Landing(True, False)), "git log of the sample shows every merge"),
    (lambda f: f.landings.pop("rows"), "git log of the sample shows every merge"),
    (lambda f: f.tasks["letters"]["attempts"][0].update(salvage_ref=""), "what every unfinished attempt had changed"),
    (lambda f: f.trajectories["titles"]["steps"].clear(), "the tasks in words were done through tools"),
]


@pytest.mark.parametrize(("change", "sentence"), CHANGES)
def test_each_expectation_can_fail(facts, change, sentence):
    different = copy.deepcopy(facts)
    change(different)

    assert any(one.startswith(sentence) for one in failing(different)), failing(different)


def test_the_table_shows_what_has_come_of_each_task(facts):
    shown = {row[0]: row[1:] for row in rows(facts)}

    assert len(HEAD) == len(next(iter(rows(facts))))
    assert ("ada", "1", "3 of 3", "!5 merged, verified", "2.5 s") == shown["#1 Keep accented letters in slugs"]
    assert ("bob", "2", "0 of 1", "none: dead letter", "2.5 s") == shown["#4 Never split a word nor exceed 10"]


def test_a_task_without_an_attempt_has_its_row(facts):
    facts.tasks["rows"].update(attempts=[], finished_at=None, status="queued")
    facts.pulls["rows"].clear()

    assert ("#3 Double the quotes in a row", "", "0", "0 of 0", "none: queued", "") in rows(facts)


def test_the_suite_is_really_run(tmp_path):
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "__init__.py").touch()
    (tests / "test_it.py").write_text(
        "import unittest\n\nclass It(unittest.TestCase):\n    def test(self):\n        self.fail('so')\n"
    )

    assert expectations.suite(SAMPLE).held
    assert not expectations.suite(tmp_path).held
    assert "so" in expectations.suite(tmp_path).why


def test_a_process_that_is_left_is_found(tmp_path):
    from apps.demo import remains

    stray = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={"AGENTCOM_DATA_DIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert stray.stdout
    stray.stdout.readline()
    try:
        assert {stray.pid} == remains.family(tmp_path)
        assert not remains.judge(tmp_path, 1)[0].held
    finally:
        stray.communicate(b"\n")

    assert set() == remains.family(tmp_path)
