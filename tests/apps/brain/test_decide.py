"""What the hub does next follows from the situation alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.brain.decide import DWELL, LONGEST, LONGEST_HEALING, Decision, Outcome, Situation, decide
from apps.brain.lifecycle import BRAIN, CYCLES, LOOKING, State

S = State
ALL = frozenset(S)
MOVES = {(move.source, move.target) for move in BRAIN.moves}
LENGTHS = st.one_of(st.just(0.0), st.floats(0, 10 * LONGEST), st.sampled_from([DWELL, LONGEST, LONGEST_HEALING]))
SITUATIONS = st.builds(
    Situation,
    state=st.sampled_from(S),
    seconds=LENGTHS,
    watched=LENGTHS,
    quiet=LENGTHS,
    paused=st.booleans(),
    pending=st.integers(0, 5),
    active=st.integers(0, 5),
    at_once=st.integers(1, 3),
    own_pending=st.integers(0, 3),
    own_active=st.integers(0, 2),
    working=st.booleans(),
    room=st.frozensets(st.sampled_from(S)),
    critical=st.integers(0, 2),
    heal_wait=st.floats(-10, 300),
    heals_left=st.integers(0, 3),
    look_wait=st.floats(-10, 3600),
    outcome=st.sampled_from(Outcome),
)


def after(now: Situation, decision: Decision) -> Situation:
    """The same world once the decision was carried out, and the work that fills a state was done at once."""
    if decision.to is None:
        return replace(now, outcome=now.outcome or Outcome.NOTHING)
    then = replace(now, state=decision.to, seconds=0.0, watched=0.0)
    if now.state in LOOKING:
        then = replace(then, look_wait=60.0)
    if now.state is S.HEALING:
        then = replace(then, heal_wait=300.0)
    if decision.to is S.HEALING:
        then = replace(then, heals_left=now.heals_left - 1)
    return replace(then, outcome=Outcome.NOTHING if decision.to in CYCLES else Outcome.UNDECIDED)


@given(SITUATIONS)
def test_there_is_an_answer_for_every_situation_and_it_is_a_move_that_exists(now: Situation) -> None:
    decision = decide(now)

    assert decision.reason
    assert decision.to is None or (now.state, decision.to) in MOVES
    assert decision.to is not None or (decision.wants and decision.holds)


@given(SITUATIONS)
def test_whoever_stays_wants_nothing_that_it_could_not_reach(now: Situation) -> None:
    decision = decide(now)

    assert decision.wants is None or (now.state, decision.wants) in MOVES


@given(SITUATIONS)
def test_without_a_change_from_outside_the_hub_comes_to_rest_somewhere(now: Situation) -> None:
    for _ in range(8):
        now = after(now, decide(now))

    assert now == after(now, decide(now)), f"it still moves: {decide(now)}"


@given(SITUATIONS.filter(lambda now: now.paused))
def test_a_paused_hub_begins_nothing(now: Situation) -> None:
    assert decide(now).to in (None, S.RESTING)


@given(SITUATIONS)
def test_an_alarm_always_ends_in_rest(now: Situation) -> None:
    decision = decide(now)

    assert not decision.alarm or decision.to is S.RESTING


RULES = [
    # resting
    (Situation(state=S.RESTING, pending=1), S.EXECUTING, "1 goal can begin."),
    (Situation(state=S.RESTING, active=2), S.EXECUTING, "2 goals under way."),
    (Situation(state=S.RESTING, pending=1, room=ALL - {S.EXECUTING}), None, "Goals wait for the budget."),
    (Situation(state=S.RESTING, seconds=60), S.IMPROVING, "No goals are waiting; time to check the repositories."),
    (Situation(state=S.RESTING, seconds=DWELL - 1), None, "No goals are waiting."),
    (Situation(state=S.RESTING, seconds=60, look_wait=1), None, "No goals are waiting."),
    (Situation(state=S.RESTING, seconds=60, room=ALL - {S.IMPROVING}), None, "No goals are waiting."),
    (Situation(state=S.RESTING, active=1, quiet=LONGEST), None, "The goals under way are stuck."),
    (Situation(state=S.RESTING, active=3, pending=1, quiet=LONGEST), None, "The goals under way are stuck."),
    (
        Situation(state=S.RESTING, active=1, pending=1, quiet=LONGEST),
        S.EXECUTING,
        "1 goal can begin, 1 goal under way.",
    ),
    (Situation(state=S.RESTING, own_pending=1), S.EXECUTING, "1 goal can begin."),
    (
        Situation(state=S.RESTING, active=3, own_pending=1, quiet=LONGEST),
        S.EXECUTING,
        "1 goal can begin, 3 goals under way.",
    ),
    (Situation(state=S.RESTING, own_active=1, own_pending=2, quiet=LONGEST), None, "The goals under way are stuck."),
    (
        Situation(state=S.RESTING, own_active=1, pending=1, quiet=LONGEST),
        S.EXECUTING,
        "1 goal can begin, 1 goal under way.",
    ),
    (Situation(state=S.RESTING, seconds=LONGEST, look_wait=60), None, "No goals are waiting."),
    # executing
    (Situation(state=S.EXECUTING, active=1), None, "1 goal under way."),
    (Situation(state=S.EXECUTING, pending=1, active=3), None, "1 goal can begin, 3 goals under way."),
    (
        Situation(state=S.EXECUTING, own_active=1, own_pending=1, seconds=60),
        None,
        "1 goal can begin, 1 goal under way.",
    ),
    (Situation(state=S.EXECUTING, seconds=60), S.RESTING, "No goal is left to begin or to go on with."),
    (Situation(state=S.EXECUTING, seconds=1), None, "No goal is left."),
    (
        Situation(state=S.EXECUTING, active=1, room=ALL - {S.EXECUTING}),
        S.RESTING,
        "The executing budget is used up.",
    ),
    (Situation(state=S.EXECUTING, active=1, seconds=LONGEST, quiet=LONGEST - 1), None, "1 goal under way."),
    (Situation(state=S.EXECUTING, active=1, seconds=LONGEST - 1, quiet=LONGEST), None, "1 goal under way."),
    (Situation(state=S.EXECUTING, active=1, seconds=LONGEST, quiet=LONGEST, working=True), None, "1 goal under way."),
    (
        Situation(state=S.EXECUTING, active=1, seconds=LONGEST, quiet=LONGEST),
        S.RESTING,
        "No goal has moved for 2 hours.",
    ),
    # improving
    (Situation(state=S.IMPROVING), None, "The hub looks at its repositories."),
    (Situation(state=S.IMPROVING, pending=1), S.EXECUTING, "1 goal can begin."),
    (Situation(state=S.IMPROVING, outcome=Outcome.NOTHING), S.CONTEMPLATING, "Nothing was found to improve."),
    (
        Situation(state=S.IMPROVING, outcome=Outcome.NOTHING, room=ALL - {S.CONTEMPLATING}),
        S.RESTING,
        "Improving found nothing.",
    ),
    (Situation(state=S.IMPROVING, outcome=Outcome.FOUND), S.RESTING, "Improving found something."),
    (Situation(state=S.IMPROVING, outcome=Outcome.FOUND, pending=1), S.EXECUTING, "1 goal can begin."),
    (Situation(state=S.IMPROVING, outcome=Outcome.FAILED), S.RESTING, "Improving failed; the log says why."),
    (Situation(state=S.IMPROVING, room=frozenset()), None, "The hub looks at its repositories."),
    (Situation(state=S.IMPROVING, watched=LONGEST), S.RESTING, "Improving took longer than 2 hours."),
    # contemplating
    (Situation(state=S.CONTEMPLATING), None, "The hub looks for new ideas."),
    (Situation(state=S.CONTEMPLATING, pending=1), S.EXECUTING, "1 goal can begin."),
    (Situation(state=S.CONTEMPLATING, outcome=Outcome.NOTHING), S.RESTING, "Contemplating found nothing."),
    (Situation(state=S.CONTEMPLATING, watched=LONGEST), S.RESTING, "Contemplating took longer than 2 hours."),
    # healing
    (Situation(state=S.HEALING, critical=3, pending=1), None, "The hub tries to mend what is broken."),
    (Situation(state=S.HEALING, outcome=Outcome.FOUND), S.RESTING, "The remedies were tried."),
    (Situation(state=S.HEALING, outcome=Outcome.FAILED), S.RESTING, "Healing failed; the log says why."),
    (Situation(state=S.HEALING, watched=LONGEST_HEALING), S.RESTING, "Healing took longer than 5 minutes."),
    *[
        (Situation(state=state, critical=1, pending=1), S.HEALING, "1 critical problem in the health report.")
        for state in S
        if state is not S.HEALING
    ],
    (Situation(state=S.RESTING, critical=1, pending=1, heal_wait=1), S.EXECUTING, "1 goal can begin."),
    (Situation(state=S.RESTING, critical=1, pending=1, heals_left=0), S.EXECUTING, "1 goal can begin."),
    # paused
    *[(Situation(state=state, paused=True, pending=1, critical=1), None, "The hub is paused.") for state in S],
    (Situation(state=S.EXECUTING, paused=True, active=1, seconds=LONGEST, quiet=LONGEST), None, "The hub is paused."),
    (Situation(state=S.HEALING, paused=True, watched=LONGEST_HEALING), None, "The hub is paused."),
    (
        Situation(state=S.IMPROVING, paused=True, outcome=Outcome.NOTHING),
        S.RESTING,
        "Improving found nothing. The hub is paused.",
    ),
]


@pytest.mark.parametrize(("now", "to", "reason"), RULES, ids=[f"{n}-{row[0].state}" for n, row in enumerate(RULES)])
def test_a_rule(now: Situation, to: State | None, reason: str) -> None:
    decision = decide(now)

    assert (to, reason) == (decision.to, decision.reason)


def test_a_watchdog_that_bites_is_an_alarm_and_nothing_else_is() -> None:
    alarms = [reason for now, _, reason in RULES if decide(now).alarm]

    assert [
        "No goal has moved for 2 hours.",
        "Improving took longer than 2 hours.",
        "Contemplating took longer than 2 hours.",
        "Healing took longer than 5 minutes.",
    ] == alarms


@pytest.mark.parametrize(
    ("now", "wants", "holds"),
    [
        (
            Situation(state=S.RESTING, seconds=60, look_wait=61),
            S.IMPROVING,
            ("It looks around again in 2 minutes.",),
        ),
        (
            Situation(state=S.RESTING, pending=1, room=frozenset(), critical=1, heal_wait=40),
            S.EXECUTING,
            ("Healing rests for 40 seconds after the last time.", "The executing budget is used up."),
        ),
        (
            Situation(state=S.RESTING, pending=1, paused=True),
            S.EXECUTING,
            ("A person paused the hub.",),
        ),
        (
            Situation(state=S.EXECUTING, active=1, critical=1, heals_left=0),
            S.RESTING,
            ("Healing was tried as often as it may be in ten minutes.", "Goals are still in progress."),
        ),
    ],
)
def test_whoever_stays_says_where_it_would_go_and_what_holds_it_back(
    now: Situation, wants: State, holds: tuple[str, ...]
) -> None:
    decision = decide(now)

    assert (wants, holds) == (decision.wants, decision.holds)
