"""Ten goals, each from its words to one pull request whose checks passed on what would really be merged."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.forge.models import PullRequest
from apps.goals.models import Slice
from tests.apps.forge.workshop import run_git
from tests.goals.cases import CASES, Case
from tests.goals.conftest import MICRO_IN, MICRO_OUT
from tests.goals.works import Spent, Works

# What they ask of a database is asked on each of them in tests/apps/goals; here it is the real work that takes long.
pytestmark = [pytest.mark.django_db, pytest.mark.bwrap, pytest.mark.one_database]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_goal_ends_in_one_verified_pull_request(case: Case, works: Callable[[Case], Works], tmp_path: Path) -> None:
    at = works(case)
    goal = at.submit()
    assert "executing" == goal.status
    if case.meanwhile:
        at.shop.commit(case.meanwhile)
    main = at.shop.main()

    goal = at.run(goal)

    assert ("complete", "") == (goal.status, goal.reason)
    assert (case.slices, case.rounds, case.returned) == (
        Slice.objects.filter(goal=goal, merged_at__isnull=False).count(), goal.rounds, at.returned(goal)
    )  # fmt: skip
    pull = PullRequest.objects.get()
    assert (goal.pull_id, goal.branch, "open") == (pull.pk, pull.branch, pull.status)
    assert ["passed"] == list(pull.verifications.values_list("status", flat=True))
    assert main == at.shop.main()
    assert_is_right(case, at.shop.mirror, pull.head, main, tmp_path / "result")
    billed = at.server.billed
    money = sum(MICRO_IN * one.prompt + MICRO_OUT * one.output for one in billed)
    assert Spent(case.calls, at.counted(), money) == at.spent(goal)


def assert_is_right(case: Case, mirror: Path, head: str, main: str, place: Path) -> None:
    """The pull request holds the default branch as it is, the repository's tests pass on it, and the proof holds."""
    run_git(mirror, "merge-base", "--is-ancestor", main, head)
    run_git(mirror, "clone", "-q", str(mirror), str(place))
    run_git(place, "checkout", "-q", head)
    for command in (case.check, case.proof):
        done = subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"
