"""Events in plain words."""

from __future__ import annotations

import pytest

from apps.demo.screen import Line
from apps.demo.words import Happened, Known, Memory, line_of, line_of_step
from apps.events.kinds import Kind


@pytest.fixture
def memory() -> Memory:
    return Memory(
        tasks={
            1: Known("Mend it"),
            2: Known("Describe it", waits_for=(1,)),
            3: Known("Verify !7 Mend it", verifies=7),
            4: Known("A part", goal=1),
            5: Known("Check goal 1", goal=1, merges=2),
        },
        goals={1: "A goal"},
        pulls={7: 1},
        workers={1: "ada", 3: "bob", 5: "cleo"},
        verifications={5: 3},
        agents={4: "ada"},
    )


def told(line: Line | None) -> Line:
    assert line is not None
    return line


@pytest.mark.parametrize(
    ("kind", "subject", "data", "shown"),
    [
        (Kind.TASK_SUBMITTED, "task/1", {}, ("#1", "submitted")),
        (Kind.TASK_SUBMITTED, "task/2", {}, ("#2", "submitted; waits until #1 is done")),
        (Kind.TASK_ASSIGNED, "task/1", {"agent": "bob"}, ("#1", "matched with bob, pushed to it")),
        (Kind.TASK_ACCEPTED, "task/1", {}, ("#1", "ada works on it")),
        (Kind.TASK_COMPLETED, "task/1", {}, ("#1", "completed by ada: every check passed")),
        (
            Kind.TASK_RETRIED,
            "task/1",
            {"error": "1 of 2 checks did not pass: tests_pass auto (fail)"},
            ("#1", "1 of 2 checks did not pass; it goes back in line, with what failed"),
        ),
        (Kind.TASK_RECLAIMED, "task/1", {"error": "ada fell silent."}, ("#1", "reclaimed: ada fell silent.")),
        (
            Kind.TASK_BURIED,
            "task/1",
            {"reason": "no attempts left: x", "error": "x"},
            ("#1", "into the dead letter, with its evidence: x"),
        ),
        (Kind.TASK_SUBMITTED, "task/4", {}, ("#4", "handed in by the hub, for G1")),
        (Kind.TASK_ACCEPTED, "task/5", {}, ("G1", "cleo repeats the checks with slice 2 merged in")),
        (Kind.GOAL_PLANNED, "goal/1", {"slices": 3, "model": "m"}, ("G1", "planned by m: 3 slices")),
        (Kind.GOAL_MERGED, "goal/1", {"slice": 2}, ("G1", "slice 2 is in the goal's branch")),
        (Kind.GOAL_MERGED, "goal/1", {"slice": 0}, ("G1", "the default branch is in the goal's branch")),
        (Kind.GOAL_UNMERGED, "goal/1", {"slice": 2, "note": "a, b"}, ("G1", "slice 2 comes back: a, b")),
        (
            Kind.PULL_OPENED,
            "pullrequest/9",
            {"task": 4, "goal": 1},
            ("!9", "one pull request opened for the whole of G1"),
        ),
        (Kind.TASK_ACCEPTED, "task/3", {}, ("!7", "bob repeats the checks on a clean checkout")),
        (Kind.PULL_OPENED, "pullrequest/7", {"task": 1}, ("!7", "pull request opened for #1")),
        (Kind.PULL_VERIFIED, "verification/5", {"pull": 7}, ("!7", "verified by bob: ready to be merged")),
        (Kind.PULL_MERGED, "pullrequest/7", {}, ("!7", "merged by eva")),
        (Kind.AGENT_LEFT, "agent/4", {}, ("", "ada: its sidecar's connection is gone")),
    ],
)
def test_what_happened_is_said_in_words(memory, kind, subject, data, shown):
    line = told(line_of(Happened(1.0, kind, subject, "eva", data), memory))

    assert shown == (line.subject, line.text)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (Kind.TASK_ASSIGNED, "task/3"),
        (Kind.TASK_COMPLETED, "task/3"),
        (Kind.REPO_ADDED, "repo/1"),
        (Kind.TOKEN_MINTED, "token/1"),
        (Kind.AGENT_ENROLLED, "agent/4"),
    ],
)
def test_what_tells_a_person_nothing_new_is_left_out(memory, kind, subject):
    assert line_of(Happened(1.0, kind, subject), memory) is None


def test_later_attempts_are_counted(memory):
    for _ in range(2):
        line = told(line_of(Happened(1.0, Kind.TASK_ASSIGNED, "task/1", data={"agent": "ada"}), memory))

    assert "matched with ada, pushed: attempt 2" == line.text


def test_a_pull_request_is_called_as_its_task(memory):
    line = told(line_of(Happened(1.0, Kind.PULL_STALE, "verification/5", data={"pull": 7}), memory))

    assert ("!7", "Mend it") == (line.subject, line.title)


def test_the_verifier_is_whoever_the_verification_was_given_to(memory):
    verifying = {"verification": 9, "task": 8}
    line_of(Happened(1.0, Kind.PULL_VERIFYING, "pullrequest/7", data=verifying), memory)
    line_of(Happened(1.0, Kind.TASK_ASSIGNED, "task/8", data={"agent": "eva"}), memory)
    line = told(line_of(Happened(2.0, Kind.PULL_VERIFIED, "verification/9", data={"pull": 7}), memory))

    assert "verified by eva: ready to be merged" == line.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("pass: the tests", ("the tests", "good")), ("timeout: the tests", ("the tests: timeout", "bad"))],
)
def test_checks_are_shown_as_they_end(memory, text, shown):
    line = told(line_of_step(1.0, 1, 11, {"kind": "check", "text": text, "at_ms": 5}, memory))

    assert shown == (line.text, line.mood)


def test_output_is_shown_now_and_then(memory):
    shown = [
        line_of_step(1.0, 1, 11, {"kind": "output", "text": str(at), "at_ms": at}, memory)
        for at in range(0, 7000, 1000)
    ]

    assert ["“0”", "“3000”", "“6000”"] == [line.text for line in shown if line]


def test_the_steps_of_a_verification_are_not_told_twice(memory):
    assert line_of_step(1.0, 3, 11, {"kind": "check", "text": "pass: x", "at_ms": 5}, memory) is None
