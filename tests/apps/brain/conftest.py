"""A hub whose clock is moved by hand, and whose own work is what a test says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.brain import actions, cycles, jobs, watch
from apps.brain.decide import Decision
from apps.brain.lifecycle import State
from apps.brain.models import Brain, Stay
from apps.events import hints
from apps.goals import actions as goals
from apps.goals.models import Goal
from tests import cast

START = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)


class Hub:
    """The brain at a time that only moves when the test says so; `log` holds what it was asked to do and did."""

    def __init__(self) -> None:
        self.now = START
        self.critical = 0
        self.asked: list[tuple[str, int]] = []
        self.alarms: dict[State, str] = {}
        self.work: dict[State, Callable[[], int]] = dict.fromkeys(cycles.CLUSTERS, int)

    def later(self, **length: float) -> Decision:
        """Let time pass and the hub think."""
        self.now += timedelta(**length)
        return self.think()

    def think(self) -> Decision:
        return actions.think(now=self.now)

    def do(self) -> None:
        """Run the jobs that were asked for, and those that they ask for."""
        while self.asked:
            job, cycle = self.asked.pop(0)
            getattr(jobs, job.rpartition(".")[2])(cycle)

    @property
    def state(self) -> State:
        return actions.current().state

    def is_in(self, state: State) -> bool:
        return self.state is state

    @property
    def brain(self) -> Brain:
        return Brain.objects.get()

    @property
    def path(self) -> list[str]:
        """The states it was in, oldest first."""
        return list(Stay.objects.order_by("move").values_list("status", flat=True))

    @property
    def moves(self) -> int:
        return actions.current().transition_count


@pytest.fixture
def hub(db: None, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub()

    def queue(job: str, cycle: int, **options: Any) -> None:
        made.asked.append((job, cycle))

    def one(path: str) -> Callable[[], int]:
        return made.work[State(path)]

    monkeypatch.setattr(actions, "async_task", queue)
    monkeypatch.setattr("django.utils.timezone.now", lambda: made.now)
    monkeypatch.setattr(cycles, "WORK", {state: (state.value,) for state in cycles.CLUSTERS})
    monkeypatch.setattr(cycles, "import_string", one)
    monkeypatch.setattr(watch, "critical", lambda: made.critical)
    monkeypatch.setattr(watch, "alarm", made.alarms.__setitem__)
    monkeypatch.setattr(watch, "all_clear", lambda state: made.alarms.pop(state, None))
    monkeypatch.setattr(hints, "send", lambda _: None)
    actions.current()
    Brain.objects.update(since=START)
    Stay.objects.update(at=START)
    return made


def goal(title: str = "Round totals", **wanted: Any) -> Goal:
    """A goal that somebody handed in."""
    wanted.setdefault("repo", cast.repo())
    return goals.submit(goals.Wanted(title=title, **wanted), by="ada")[0]
