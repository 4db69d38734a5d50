"""Bugs that somebody could write tomorrow, each of which the tests named beside it must catch.

A mutant is one exact fragment of one file and what takes its place. When the code moves, a fragment that is not found
any more is an error, so that no mutant dies of old age.
"""

from __future__ import annotations

from dataclasses import dataclass

TESTS = "tests/apps/tasks/"


@dataclass(frozen=True)
class Mutant:
    """`sentence` says what goes wrong; `tests` are pytest arguments, at least one of which must fail."""

    sentence: str
    file: str
    fragment: str
    instead: str
    tests: tuple[str, ...]


def _in(file: str, sentence: str, fragment: str, instead: str, *tests: str) -> Mutant:
    return Mutant(sentence, f"apps/tasks/{file}.py", fragment, instead, tuple(TESTS + test for test in tests))


_MINE = '{"pk": self.attempt, "task": self.task, "agent": self.agent, "ended_at__isnull": True}'
_FENCE = "test_attempts.py::test_a_frame_of_somebody_else_changes_nothing"

MUTANTS = (
    _in(
        "attempts",
        "a report is taken whatever attempt it names",
        _MINE,
        _MINE.replace('"pk": self.attempt, ', ""),
        _FENCE,
    ),
    _in("attempts", "a report is taken from any agent", _MINE, _MINE.replace(' "agent": self.agent,', ""), _FENCE),
    _in("attempts", "a report is taken for any task", _MINE, _MINE.replace(' "task": self.task,', ""), _FENCE),
    _in(
        "attempts",
        "an attempt that has ended is ended again",
        _MINE,
        _MINE.replace(', "ended_at__isnull": True', ""),
        "test_attempts.py",
    ),
    _in(
        "attempts",
        "work is taken back although its lease was renewed",
        "rows = rows.filter(lease_until__lte=Now())",
        "rows = rows.all()",
        "test_attempts.py::test_a_lease_renewed_in_the_last_moment_is_not_reclaimed",
    ),
    _in(
        "attempts",
        "whoever says that it is done is believed",
        "    if verdict.outcome is not Outcome.SUCCEEDED:\n        _after",
        "    if verdict.outcome is Outcome.OPEN:\n        _after",
        "test_attempts.py::test_completed_means_that_every_check_of_the_task_passed",
    ),
    _in(
        "attempts",
        "the generation stands still",
        'set={"demand": None, "not_before": None, "generation": pair.head.generation + 1}',
        'set={"demand": None, "not_before": None}',
        "test_attempts.py",
    ),
    _in(
        "attempts",
        "whoever waits for a completed task is not let go",
        "    dependencies.release(task)\n",
        "",
        "test_dependencies.py",
    ),
    _in(
        "attempts",
        "a full repository takes one more",
        "running >= locked.max_running",
        "running > locked.max_running + 9",
        "test_sweep.py::test_a_matcher_that_looked_too_early_does_not_overfill_a_repository",
    ),
    _in(
        "verdict",
        "a check that was left out counts as passed",
        "        if wanted not in left:\n            return name_of(check)\n",
        "        if wanted not in left:\n            continue\n",
        "test_decisions.py",
    ),
    _in(
        "verdict",
        "the first report counts, not the last",
        "last = reports[-1]",
        "last = reports[0]",
        "test_attempts.py::test_completed_means_that_every_check_of_the_task_passed",
    ),
    _in(
        "verdict",
        "a report about another commit is proof",
        'last.get("commit", commit) not in ("", commit)',
        'last.get("commit", commit) is None',
        "test_decisions.py",
    ),
    _in(
        "actions",
        "a cancelled task keeps its attempt",
        "    holder = _close_attempt(task, Outcome.CANCELLED, reason or",
        "    holder = str(reason or",
        "test_attempts.py::test_cancelling_ends_the_attempt_and_beats_a_later_success",
    ),
    _in("retry", "a failure is not counted", "    failures += 1\n", "", "test_decisions.py"),
    _in(
        "retry",
        "a reclaim counts as a failure",
        "        reclaims += 1\n",
        "        failures += 1\n",
        "test_decisions.py",
    ),
    _in(
        "retry",
        "a release costs an attempt",
        "Next(False, wait, failures, reclaims)",
        "Next(False, wait, failures + 1, reclaims)",
        "test_decisions.py",
        "test_attempts.py::test_a_released_attempt_is_no_failure",
    ),
    _in(
        "dependencies",
        "one of several prerequisites is enough",
        "    if Dependency.objects.filter(task=task).exclude(prerequisite__status=TaskStatus.COMPLETED).exists():\n"
        "        return False\n",
        "",
        "test_dependencies.py",
    ),
    Mutant(
        "a circle is found only when it is short",
        "apps/events/waits.py",
        "        if end in front:\n            return True\n",
        "        return end in front\n",
        (f"{TESTS}test_dependencies.py::test_a_circle_of_any_length_is_refused",),
    ),
    _in(
        "dependencies",
        "a lost prerequisite shows on nobody",
        "    for task in _waiting_for(lost):\n",
        "    for task in []:\n",
        "test_dependencies.py",
    ),
    _in(
        "matching",
        "the matcher ignores capabilities",
        "missing := need.capabilities - worker.capabilities",
        "missing := need.capabilities - need.capabilities",
        "test_matching.py",
    ),
    _in("matching", "an author verifies its own work", "if need.avoid != worker.id:", "if need:", "test_matching.py"),
    _in(
        "matching",
        "an agent is given two tasks at once",
        "        self.idle.remove(pair.worker)\n",
        "",
        "test_matching.py",
    ),
    _in("queue", "the rank forgets the lane", "waits = lane + ", "waits = ", "test_decisions.py"),
    _in("queue", "a lower lane waits for ever", "* patience.total_seconds()", "* 10**9", "test_decisions.py"),
    _in(
        "roster",
        "a busy agent counts as idle",
        ".filter(~Exists(busy))",
        ".all()",
        "test_sweep.py::test_only_agents_without_work_are_idle",
    ),
    _in(
        "migrations/0001_initial",
        "the database lets an agent hold two tasks",
        'fields=("agent",), name="one_open_attempt_per_agent"',
        'fields=("agent", "task"), name="one_open_attempt_per_agent"',
        "test_constraints.py",
    ),
)
