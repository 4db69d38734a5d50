"""A week in which nobody wants anything, with the real look at repositories and the real healing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from django.db import models
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.brain import watch
from apps.brain.lifecycle import State
from apps.brain.models import Brain, Stay
from apps.events.models import Event
from apps.goals import actions as goals
from apps.goals.models import Goal
from apps.insight import checkups
from apps.insight import jobs as insight
from apps.insight.models import Checkup
from apps.ops import health
from apps.ops.healing import heal
from apps.ops.models import Alert, Remedy
from apps.repos import actions as repos
from apps.tasks.models import Task
from tests.apps.brain.conftest import Hub
from tests.apps.forge.conftest import agents, data_dir, workshop
from tests.apps.forge.workshop import CHECK, Workshop, drain
from tests.apps.insight.examining import report

__all__ = ["agents", "data_dir", "workshop"]
TABLES: Sequence[type[models.Model]] = (Checkup, Task, Remedy, Event, Stay, Goal, Alert)


def found() -> int:
    return insight.look_at_repos()


def mended() -> int:
    return bool(heal())


@pytest.fixture
def idle(hub: Hub, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Three repositories: one is well, one is broken and people turned the fix down, one that no agent can judge."""
    monkeypatch.setattr(watch, "critical", health.critical)
    monkeypatch.setattr(checkups, "Now", lambda: hub.now)
    hub.work |= {State.IMPROVING: found, State.HEALING: mended}
    hub.now = datetime.now(UTC)
    Brain.objects.update(since=hub.now)
    Stay.objects.update(at=hub.now)
    green, red = (repos.register(str(workshop.tree), slug=slug, by="tests") for slug in ("green", "red"))
    for repo, failing, status in ((green, (), "pass"), (red, ("make test",), "fail")):
        repos.change(repo, by="tests", checks=[CHECK])
        drain()
        report(workshop, *failing, status=status)
    hub.do()
    goals.cancel(Goal.objects.get(), by="ann", reason="We know.")
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    drain()
    return hub


def rows() -> dict[str, int]:
    return {model.__name__: model._default_manager.count() for model in TABLES}


@pytest.mark.slow
def test_a_week_over_a_green_a_red_and_an_unclear_repository_is_quiet(idle: Hub, workshop: Workshop) -> None:
    counted = [rows()]
    for _ in range(7):
        for _ in range(12):
            idle.later(minutes=120)
            Agent.objects.update(seen_at=Now())  # the week passes for the hub, and the test's own seconds for them
            insight.look_at_heads()
            idle.do()
            drain()
            if Checkup.objects.filter(status="pending").exists():
                report(workshop, "make test", status="error")
        counted.append(rows())

    week = {name: counted[-1][name] - counted[0][name] for name in counted[0]}
    last_day = {name: counted[-1][name] - counted[-2][name] for name in counted[0]}
    assert {"Remedy": 0, "Goal": 0, "Alert": 0} == {name: week[name] for name in ("Remedy", "Goal", "Alert")}
    assert 8 <= week["Checkup"] <= 16
    assert week["Task"] <= week["Checkup"]
    assert week["Stay"] <= 3 * 15
    assert week["Event"] <= 8 * 16 + 3 * 15
    assert last_day["Checkup"] <= 1
    assert last_day["Stay"] <= 3
    assert last_day["Event"] <= 8 + 3
    assert [("warning", "repo/red"), ("warning", "repo/sample")] == sorted(
        (issue.severity, issue.subject) for issue in health.report().issues if issue.category == "repos"
    )
