"""Lifecycles are whole: every status can be reached and left, and what is final stays."""

from __future__ import annotations

import pytest

from apps.agents.lifecycle import AgentState, state_of
from apps.brain.lifecycle import BRAIN
from apps.events.lifecycle import Lifecycle
from apps.forge.lifecycle import PULL, VERIFICATION
from apps.goals.lifecycle import GOAL, MERGE
from apps.insight.lifecycle import CHECKUP
from apps.tasks.lifecycle import ATTEMPT, HELD, TASK, Outcome, TaskStatus

LIFECYCLES = {
    "task": TASK,
    "attempt": ATTEMPT,
    "pull": PULL,
    "verification": VERIFICATION,
    "goal": GOAL,
    "merge": MERGE,
    "brain": BRAIN,
    "checkup": CHECKUP,
}
each = pytest.mark.parametrize("one", list(LIFECYCLES.values()), ids=list(LIFECYCLES))


@each
def test_every_status_can_be_reached_from_the_first(one: Lifecycle) -> None:
    reached = {move.target for move in one.moves if move.source is None}
    assert reached
    for _ in one.statuses:
        reached |= {move.target for move in one.moves if move.source in reached}

    assert set(one.statuses) == reached


@each
def test_every_status_leads_to_a_final_one_or_where_there_is_none_back_to_the_first(one: Lifecycle) -> None:
    ends = set(one.final) or {move.target for move in one.moves if move.source is None}
    for _ in one.statuses:
        ends |= {move.source for move in one.moves if move.target in ends and move.source is not None}

    assert set(one.statuses) == ends


@each
def test_every_move_is_there_once_and_has_a_sentence(one: Lifecycle) -> None:
    steps = [(move.source, move.target) for move in one.moves]

    assert len(steps) == len(set(steps))
    assert all(source is not target for source, target in steps)
    for move in one.moves:
        assert move.meaning[0].isupper()
        assert move.meaning.endswith(".")


@pytest.mark.parametrize(
    ("one", "reopened"),
    [
        (TASK, {TaskStatus.DEAD}),
        (ATTEMPT, set()),
        (PULL, set()),
        (VERIFICATION, set()),
        (GOAL, set()),
        (MERGE, set()),
        (BRAIN, set()),
        (CHECKUP, set()),
    ],
    ids=list(LIFECYCLES),
)
def test_what_is_final_stays_but_for_the_dead_letter(one: Lifecycle, reopened: set[TaskStatus]) -> None:
    assert reopened == {move.source for move in one.moves if move.source in one.final}


def test_only_a_queued_task_is_assigned_and_only_a_held_one_completed() -> None:
    assert (TaskStatus.QUEUED,) == TASK.sources(TaskStatus.ASSIGNED)
    assert set(HELD) == set(TASK.sources(TaskStatus.COMPLETED))


def test_every_end_of_an_attempt_begins_open() -> None:
    assert all((Outcome.OPEN,) == ATTEMPT.sources(outcome) for outcome in ATTEMPT.final)


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("status", [None, *TaskStatus])
def test_an_agent_is_shown_by_the_work_it_holds_and_else_by_its_connection(online: bool, status: str | None) -> None:
    found = state_of(online=online, task_status=status)

    if status in HELD:
        assert status == found
    else:
        assert (AgentState.IDLE if online else AgentState.OFFLINE) == found
