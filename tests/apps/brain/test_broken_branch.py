"""A default branch breaks and is mended: the real brain, insight, ops and goals, in one process, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from apps.brain import actions as brain
from apps.brain.lifecycle import State
from apps.brain.models import Brain, Stay
from apps.forge import merging
from apps.forge.models import PullRequest
from apps.goals.models import Goal, Merge
from apps.insight.models import Checkup
from apps.ops import health
from apps.ops.models import Alert
from apps.repos import actions as repos
from tests import cast
from tests.apps.forge.conftest import ann
from tests.apps.forge.workshop import CHECK, Workshop, drain
from tests.apps.insight.examining import LINT, report
from tests.foundry import Foundry, crew, piece, plan, verdict

__all__ = ["ann"]
pytestmark = pytest.mark.django_db
TYPES = {**CHECK, "target": "make types"}


@pytest.fixture
def foundry(db: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foundry:
    """A hub with a repository that is well; it looks around by itself tomorrow."""
    settings.DATA_DIR = tmp_path / "data"
    crew()
    made = Foundry(Workshop(tmp_path, upstream=True), monkeypatch)
    brain.current()
    Brain.objects.update(looked_at=timezone.now(), next_look_at=timezone.now() + timedelta(days=1))
    repos.change(made.workshop.repo, by="ann", checks=[CHECK, LINT, TYPES])
    drain()
    assert "passed" == report(made.workshop).status
    return made


def push(foundry: Foundry, files: Mapping[str, str]) -> None:
    """Somebody pushes upstream, and the mirror hears of it; a checkup of the new head is pending."""
    head = foundry.workshop.commit_upstream(files)
    repos.sync(foundry.workshop.repo)
    drain()
    assert head == Checkup.objects.get(status="pending").commit


def carry_out(foundry: Foundry, goal: Goal, files: Mapping[str, str], ann: User) -> None:
    """Agents do what there is to do for it, and a person merges its pull request."""
    foundry.deliver(goal, 1, files)
    while Merge.objects.filter(goal=goal, status="pending").exists():
        foundry.checked(goal)
    pull = PullRequest.objects.get(goal=goal.pk)
    foundry.workshop.verify(pull)
    merging.merge(cast.fresh(pull), ann)
    drain()
    assert cast.fresh(goal).landed_at is not None


def issue() -> tuple[str, str]:
    """The one line of the health report: how grave it is, and what it says."""
    (found,) = health.report().issues
    return found.severity, found.detail


def actions_taken() -> list[tuple[str, str]]:
    return [(one.action, one.outcome) for one in reversed(health.last_remedies())]


def test_a_broken_branch_is_seen_healed_by_one_goal_for_each_fault_and_well_again(foundry: Foundry, ann: User) -> None:
    foundry.replies = [
        plan(piece("one")),
        lambda asked: verdict(asked, where="mended.txt"),
        plan(piece("two")),
        lambda asked: verdict(asked, where="linted.txt"),
    ]

    push(foundry, {"broken.txt": "1\n"})
    assert health.report().healthy
    red = report(foundry.workshop, "make test", "make lint")

    first, second = Goal.objects.order_by("pk")
    healing = Stay.objects.get(status=State.HEALING)
    assert "1 critical problem in the health report." == healing.reason
    assert [("hand in a goal", "done")] * 2 == actions_taken()
    assert [first.pk, second.pk] == [fault["goal"] for fault in red.faults]
    assert ("executing", "submitted") == (cast.fresh(first).status, cast.fresh(second).status)
    assert "warning" == issue()[0]
    assert f"goals {first.pk}, {second.pk} are to mend it" in issue()[1]
    assert ["broken-main:sample"] == list(Alert.objects.open().values_list("key", flat=True))

    push(foundry, {"elsewhere.txt": "1\n"})
    report(foundry.workshop, "make test", "make lint")
    assert (2, 2) == (Goal.objects.count(), len(actions_taken()))
    assert "warning" == issue()[0]

    carry_out(foundry, first, {"mended.txt": "1\n"}, ann)
    assert foundry.workshop.main() == Checkup.objects.get(status="pending").commit
    report(foundry.workshop, "make lint")
    left = f"the default branch is broken: command_succeeds make lint; goal {second.pk} is to mend it"
    assert ("warning", left) == issue()
    assert "executing" == cast.fresh(second).status
    assert Alert.objects.open().exists()

    carry_out(foundry, second, {"linted.txt": "1\n"}, ann)
    assert "passed" == report(foundry.workshop).status
    brain.think(now=timezone.now() + timedelta(seconds=10))

    assert health.report().healthy
    assert [True] == [alert.cleared_at is not None for alert in Alert.objects.all()]
    states = list(Stay.objects.order_by("move").values_list("status", flat=True))
    assert [State.RESTING, State.HEALING, State.RESTING, State.EXECUTING, State.RESTING] == states
    assert (2, 2) == (Goal.objects.count(), len(actions_taken()))
