"""The other pure decisions about a task: retry, verdict, rank, branch, route."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from apps.tasks.branches import LONGEST_SLUG, branch_for, slug
from apps.tasks.lifecycle import Outcome
from apps.tasks.queue import rank
from apps.tasks.retry import Next, Tally, after
from apps.tasks.routing import route
from apps.tasks.verdict import judge
from tests import cast

O = Outcome  # noqa: E741  the tables below are read by column
S10, S600 = timedelta(seconds=10), timedelta(seconds=600)
COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("outcome", "before", "bury", "seconds", "then"),
    [
        (O.FAILED, (0, 0), False, 10, (1, 0)),
        (O.FAILED, (1, 0), False, 20, (2, 0)),
        (O.FAILED, (2, 0), True, 40, (3, 0)),
        (O.UNVERIFIED, (0, 0), False, 10, (1, 0)),
        (O.UNVERIFIED, (2, 4), True, 40, (3, 4)),
        (O.RECLAIMED, (0, 0), False, 0, (0, 1)),
        (O.RECLAIMED, (2, 4), False, 0, (2, 5)),
        (O.RECLAIMED, (0, 5), True, 0, (0, 6)),
        (O.RELEASED, (2, 5), False, 5, (2, 5)),
    ],
)
def test_what_becomes_of_a_task_that_may_fail_three_times_and_be_reclaimed_five_times(
    outcome: Outcome, before: tuple[int, int], bury: bool, seconds: int, then: tuple[int, int]
) -> None:
    failures, reclaims = before
    found = after(outcome, Tally(failures, 3, reclaims, 5), backoff=S10, longest=S600)

    assert (bury, timedelta(seconds=seconds), then) == (found.bury, found.wait, (found.failures, found.reclaims))


@pytest.mark.parametrize(("pause", "wait"), [(None, 5), (0, 0), (30, 30), (600, 600), (900, 600)])
def test_what_is_released_rests_for_half_a_backoff_or_for_the_pause_that_is_given(pause: int | None, wait: int) -> None:
    given = None if pause is None else timedelta(seconds=pause)
    found = after(O.RELEASED, Tally(2, 3, 5, 5), backoff=S10, longest=S600, pause=given)

    assert (False, timedelta(seconds=wait), 2, 5) == (found.bury, found.wait, found.failures, found.reclaims)


def test_the_wait_doubles_up_to_the_longest_and_never_overflows() -> None:
    def wait(failures: int) -> Next:
        return after(O.FAILED, Tally(failures, 10_000, 0, 5), backoff=S10, longest=S600)

    assert [10, 20, 40, 80, 160, 320, 600, 600] == [wait(n).wait.total_seconds() for n in range(8)]
    assert S600 == wait(9_000).wait


TRUE, FALSE = cast.CHECK, {**cast.CHECK, "target": "false"}


@pytest.mark.parametrize(
    ("facts", "checks", "reports", "outcome", "code"),
    [
        ({}, [], [], O.SUCCEEDED, ""),
        ({"changes_repo": True}, [], [], O.FAILED, "no_change"),
        ({"changes_repo": True, "commit": COMMIT}, [], [], O.SUCCEEDED, ""),
        ({}, [TRUE], [], O.UNVERIFIED, "no_report"),
        ({}, [TRUE], [cast.report([TRUE])], O.SUCCEEDED, ""),
        ({}, [TRUE], [cast.report([FALSE])], O.UNVERIFIED, "check_left_out"),
        ({}, [TRUE, FALSE], [cast.report([TRUE])], O.UNVERIFIED, "check_left_out"),
        ({}, [TRUE, TRUE], [cast.report([TRUE])], O.UNVERIFIED, "check_left_out"),
        ({}, [TRUE], [cast.report([TRUE, FALSE])], O.SUCCEEDED, ""),
        ({}, [TRUE], [cast.report([TRUE], "skipped")], O.UNVERIFIED, "verification_failed"),
        ({}, [TRUE], [{**cast.report([TRUE]), "status": "error"}], O.UNVERIFIED, "verification_failed"),
        ({"commit": COMMIT}, [TRUE], [cast.report([TRUE], commit="d" * 40)], O.UNVERIFIED, "wrong_commit"),
        ({"commit": COMMIT}, [TRUE], [cast.report([TRUE], commit=COMMIT)], O.SUCCEEDED, ""),
        ({"verifies": COMMIT}, [TRUE], [cast.report([TRUE], "fail", commit=COMMIT)], O.SUCCEEDED, ""),
        ({"verifies": COMMIT}, [TRUE], [cast.report([TRUE], commit="d" * 40)], O.UNVERIFIED, "wrong_commit"),
        ({"verifies": COMMIT}, [TRUE], [cast.report([], commit=COMMIT)], O.UNVERIFIED, "check_left_out"),
        ({"verifies": COMMIT}, [], [], O.UNVERIFIED, "wrong_commit"),
    ],
)
def test_a_report_of_success_is_believed_only_as_far_as_it_proves_it(
    facts: dict[str, Any], checks: list[Any], reports: list[Any], outcome: Outcome, code: str
) -> None:
    found = judge(checks, reports, **{"changes_repo": False, "commit": "", **facts})

    assert (outcome, code) == (found.outcome, found.code)


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=10)


def minutes_later(minutes: float, lane: int, place: int = 0) -> float:
    return rank(lane, NOON + timedelta(minutes=minutes), PATIENCE, place)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 2), (1, 2)),  # first come, first served
        ((1, 1), (0, 2)),  # a higher lane goes first
        ((9, 0), (0, 1)),
        ((0, 1), (11, 0)),  # but nothing waits for ever behind a higher lane
        ((0, 3), (31, 0)),
        ((1, 2, 0), (0, 2, 9)),  # a repository further back in the order waits a little
        ((0, 2, 9), (0, 3, 0)),  # but never as long as a lane
    ],
)
def test_which_of_two_tasks_goes_first(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    assert minutes_later(*first) < minutes_later(*second)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Fix the bug", "fix-the-bug"),
        ("  Ärger & Straße!  ", "arger-strae"),
        ("../../etc/passwd", "etc-passwd"),
        ("a..b.lock", "a-b-lock"),
        ("--option", "option"),
        ("日本語", "task"),
        ("", "task"),
        ("\n\x00@{", "task"),
    ],
)
def test_a_slug_is_lower_case_words_that_git_and_shells_take(title: str, expected: str) -> None:
    assert expected == slug(title)


def test_a_slug_is_short_and_never_ends_in_a_dash() -> None:
    assert "a" * (LONGEST_SLUG - 1) == slug("a" * (LONGEST_SLUG - 1) + " b")


def test_each_attempt_has_a_branch_of_its_own_unless_the_task_brings_one() -> None:
    task = SimpleNamespace(pk=7, title="Fix it", branch="")

    assert "agentcom/ada/7-fix-it" == branch_for(task, "ada", 1)
    assert "agentcom/ada/7-fix-it-2" == branch_for(task, "ada", 2)
    assert "topic" == branch_for(SimpleNamespace(pk=7, title="Fix it", branch="topic"), "ada", 2)


@pytest.mark.parametrize(
    ("kind", "command", "executor"),
    [("verification", "make", "verify"), ("change", "make", "shell"), ("change", "", "model")],
)
def test_words_need_a_model_and_a_command_needs_none(kind: str, command: str, executor: str) -> None:
    assert executor == route(kind=kind, command=command, tier="trivial").executor
