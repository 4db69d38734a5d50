"""Whatever people, agents, time and faults do to the queue, in any order: nothing is lost, doubled or stuck.

A Hypothesis state machine over the real actions on the real database. On PostgreSQL some steps run on several
connections at once. `AGENTCOM_MODEL=long` looks much further, with a new seed each time; `quick` less far, and does not
look for the shortest way to what it found.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import pytest
from django.db import connection
from django.db.models.functions import Now
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.agents.models import Agent
from apps.events import hints
from apps.events.models import Event
from apps.events.refused import Stale
from apps.repos.models import Repo
from apps.tasks import wake
from apps.tasks.attempts import Fence
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Dependency, Task
from apps.tasks.sweep import sweep_deeply
from tests import cast
from tests.model.crew import Crew
from tests.model.invariants import broken
from tests.model.world import EVENTS, VERBS, World, complete, empty_the_database, happen

MAX_RECLAIMS = 2
MODE = os.environ.get("AGENTCOM_MODEL", "")
EXAMPLES, STEPS = {"long": (2_000, 80), "quick": (30, 40)}.get(MODE, (60, 40))
NUMBER = st.integers(0, 60)
LIKELY = ["submit"] * 4 + ["submit_after"] * 2 + ["match_now", "sweep_now", "connect"] * 2
HAPPENING = st.tuples(st.sampled_from([*LIKELY, *EVENTS, *VERBS, *VERBS]), NUMBER, NUMBER)
FOR_GOOD = ("completed", "cancelled")


class Queue(RuleBasedStateMachine):
    """Each step is one happening, or a few at the same moment; after each step every invariant holds."""

    crew: ClassVar[Crew | None] = None
    now: ClassVar[Queue | None] = None

    @initialize(quick=st.booleans())
    def begin(self, quick: bool) -> None:
        empty_the_database()
        self.world = World(quick=quick)
        self.errors: list[BaseException] = []
        self.seen: dict[int, tuple[str, int]] = {}
        type(self).now = self

    @rule(happening=HAPPENING)
    def one(self, happening: tuple[str, int, int]) -> None:
        name, a, b = happening
        if name in EVENTS:
            happen(self.world, name, a, b)
        elif fence := self.world.fence(a):
            self._say(name, fence, b)

    @rule(verb=st.sampled_from(list(VERBS)), a=NUMBER, b=NUMBER, wrong=st.sampled_from(["task", "attempt", "agent"]))
    def somebody_else_says(self, verb: str, a: int, b: int, wrong: str) -> None:
        """A real fence with one of its three parts from elsewhere."""
        real = self.world.fence(3 * a + 1)
        if real is None:
            return
        others: dict[str, int] = {
            "task": self.world.task(b).pk,
            "attempt": Attempt.objects.order_by("id").values_list("pk", flat=True)[b % Attempt.objects.count()],
            "agent": self.world.agent(b).pk,
        }
        fence = Fence(**{"task": real.task, "attempt": real.attempt, "agent": real.agent, wrong: others[wrong]})
        self._say(verb, fence, b)

    def _say(self, verb: str, fence: Fence, b: int) -> None:
        """With a whole fence it is done, with any other it is stale and changes nothing."""
        live = Attempt.objects.open().filter(pk=fence.attempt, task=fence.task, agent=fence.agent).exists()
        before = None if live else everything()
        try:
            VERBS[verb](fence, b)
        except Stale:
            assert not live, f"{verb} of an open attempt was called stale"
            assert before == everything(), f"{verb} was stale and changed something"
        else:
            assert live or verb == "complete_unproven", f"{verb} of {fence} was taken"

    @precondition(lambda self: self.crew is not None)
    @rule(happenings=st.lists(HAPPENING, min_size=2, max_size=3))
    def at_once(self, happenings: list[tuple[str, int, int]]) -> None:
        assert self.crew is not None
        self.crew.do([partial(happen, self.world, *happening) for happening in happenings])

    @rule(a=NUMBER, limit=st.sampled_from([None, 1, 2]))
    def limit_repo(self, a: int, limit: int | None) -> None:
        """A lower limit takes nothing away from what runs."""
        repo = self.world.repo(a)
        running = Attempt.objects.open().filter(repo=repo).count()
        Repo.objects.filter(pk=repo.pk).update(max_running=None if limit is None else max(limit, running))

    @rule()
    def restart_hub(self) -> None:
        """What a process knew is gone; what was committed is not."""
        if connection.vendor == "postgresql":  # the database of the SQLite tests lives as long as its connection
            connection.close()
        if self.crew is not None:
            self.crew.restart()

    @invariant()
    def nothing_is_broken(self) -> None:
        assert not self.errors, self.errors
        assert [] == broken(connection, max_reclaims=MAX_RECLAIMS)

    @invariant()
    def nothing_goes_back(self) -> None:
        now = {
            pk: (status, generation)
            for pk, status, generation in Task.objects.values_list("pk", "status", "generation")
        }
        assert set(now) == set(self.world.tasks), "a task vanished, or one came from nowhere"
        for pk, (status, generation) in self.seen.items():
            assert now[pk][1] >= generation, f"the generation of task {pk} went back"
            assert status not in FOR_GOOD or now[pk] == (status, generation), f"task {pk} was {status}, now {now[pk]}"
        self.seen = now

    def teardown(self) -> None:
        """When faults end and somebody works, every task ends, but for those that a person must decide about."""
        if not hasattr(self, "world"):
            return
        self._end_faults()
        for _ in range(len(self.world.tasks) + 2):
            sweep_deeply()
            work_off()
            self.nothing_is_broken()
            Task.objects.filter(not_before__isnull=False).update(not_before=Now())
        left = Task.objects.filter(finished_at__isnull=True).exclude(pk__in=behind_the_stranded())
        assert [] == list(left.values("pk", "status", "demand_id", "not_before")), "these tasks hang"

    def _end_faults(self) -> None:
        Repo.objects.update(paused=False, max_running=None)
        Agent.objects.update(paused=False)
        for agent in Agent.objects.filter(pk__in=self.world.agents):
            cast.connect(agent, f"last-{agent.pk}", capabilities=["gpu"])


def everything() -> tuple[object, ...]:
    """All that a stale report must leave as it is."""
    return list(Task.objects.order_by("pk").values()), list(Attempt.objects.values()), Event.objects.count()


def behind_the_stranded() -> set[int]:
    """The stranded tasks, which show that a person must decide, and all that wait for them."""
    found: set[int] = set()
    more = set(Task.objects.filter(stranded=True).values_list("pk", flat=True))
    while more - found:
        found |= more
        more = set(Dependency.objects.filter(prerequisite__in=found).values_list("task", flat=True))
    return found


def work_off() -> None:
    """Every agent does what it holds."""
    for task, attempt, agent in list(Attempt.objects.open().values_list("task_id", "pk", "agent_id")):
        complete(Fence(task, attempt, agent), 0)


@pytest.fixture
def lost_hints(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    """Hints may be lost, so all are; matching after a commit happens when the example says so, and is heard of."""

    def match_if_quick() -> None:
        machine = Queue.now
        if machine is None or not machine.world.quick:
            return
        try:
            match()
        except Exception as error:
            machine.errors.append(error)
            raise

    monkeypatch.setattr(hints, "send", lambda _: None)
    monkeypatch.setattr(wake, "_match", match_if_quick)
    settings.MAX_RECLAIMS = MAX_RECLAIMS
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
    Queue.now = None


@pytest.fixture
def crew(transactional_db: None) -> Iterator[Crew | None]:
    """Three more connections, where the database knows what that is."""
    if connection.vendor != "postgresql":
        yield None
        return
    found = Crew(3)
    yield found
    found.dismiss()


@pytest.mark.slow
@pytest.mark.timeout(24 * 3600 if MODE == "long" else 600)  # finding the shortest failure takes minutes
def test_no_order_of_events_breaks_an_invariant(
    transactional_db: None, lost_hints: None, crew: Crew | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Queue, "crew", crew)
    effort = settings(
        max_examples=EXAMPLES if crew is None else EXAMPLES * 2 // 3,  # a step on several connections takes longer
        stateful_step_count=STEPS,
        derandomize=MODE != "long",
        database=None,
        deadline=None,  # a shared machine is slow at times; that breaks nothing
        print_blob=True,
        phases=[Phase.generate] if MODE == "quick" else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(Queue, settings=effort)
