"""Where the hub goes, step by step, by a clock that is moved by hand."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from apps.brain import actions, jobs
from apps.brain.decide import LONGEST, LONGEST_HEALING, Outcome
from apps.brain.lifecycle import State
from apps.brain.models import Brain, Stay
from apps.events.models import Event
from apps.goals import actions as goals
from apps.goals import gate
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal, Slice, Source
from apps.ledger.limits import Limits, Scope
from apps.ledger.models import Account, Charge
from apps.tasks.models import Task
from tests import cast
from tests.apps.brain.conftest import START, Hub, goal

S = State


def spend(hub: Hub, state: State, calls: int) -> None:
    """So many calls in the hour that it is."""
    key = f"{state} {hub.now:%Y-%m-%dT%H}"
    Account.objects.update_or_create(scope=Scope.STATE_HOUR, key=key, defaults={"spent_calls": calls})


def busy(hub: Hub) -> Goal:
    """The hub executes a goal that an agent's work will have to move on."""
    made = goal()
    hub.think()
    assert hub.is_in(S.EXECUTING)
    return cast.fresh(made)


def test_a_goal_makes_the_hub_execute_at_once_and_its_end_lets_it_rest(hub: Hub) -> None:
    made = goal()
    hub.think()

    assert GoalStatus.DECOMPOSING == cast.fresh(made).status
    assert hub.is_in(S.EXECUTING)

    goals.cancel(made, by="ada")
    hub.later(minutes=1)

    assert [S.RESTING, S.EXECUTING, S.RESTING] == hub.path
    assert ["", "resting", "executing"] == list(Stay.objects.order_by("move").values_list("came_from", flat=True))
    assert [60.0, None] == [stay.seconds for stay in Stay.objects.order_by("move")][1:]


def test_with_nothing_to_do_it_looks_then_thinks_then_rests(hub: Hub) -> None:
    hub.later(minutes=1)
    assert (S.IMPROVING, [("apps.brain.jobs.improve", 1)]) == (hub.state, hub.asked)

    hub.do()

    assert [S.RESTING, S.IMPROVING, S.CONTEMPLATING, S.RESTING] == hub.path
    assert [None, 1, 2, None] == list(Stay.objects.order_by("move").values_list("cycle", flat=True))


def test_a_look_that_finds_something_is_followed_by_its_goals(hub: Hub) -> None:
    def find() -> int:
        goal("Mend the tests")
        return 1

    hub.work[S.IMPROVING] = find
    hub.later(minutes=1)
    hub.do()

    assert [S.RESTING, S.IMPROVING, S.EXECUTING] == hub.path
    assert 0 == hub.brain.idle


@pytest.mark.parametrize("state", [S.RESTING, S.EXECUTING, S.IMPROVING])
def test_what_is_broken_is_healed_from_anywhere(hub: Hub, state: State) -> None:
    if state is S.EXECUTING:
        busy(hub)
    if state is S.IMPROVING:
        hub.later(minutes=1)
        hub.asked.clear()
    assert hub.is_in(state)

    hub.critical = 1
    hub.think()
    assert (S.HEALING, [("apps.brain.jobs.heal", hub.brain.cycle)]) == (hub.state, hub.asked)
    hub.critical = 0
    hub.do()

    assert [state, S.HEALING, S.RESTING] == hub.path[-(4 if state is S.EXECUTING else 3) :][:3]
    assert hub.is_in(S.EXECUTING if state is S.EXECUTING else S.RESTING)


def test_what_stays_broken_is_healed_again_after_a_rest_that_grows(hub: Hub) -> None:
    hub.critical = 1
    times = []
    for _ in range(4 * 60):
        hub.later(minutes=1)
        if hub.asked and "heal" in hub.asked[0][0]:
            times.append(round((hub.now - START).total_seconds() / 60))
        hub.do()

    assert [5, 5, 5, 10, 20, 40, 60, 60] == [after - before for before, after in pairwise(times)]


def test_a_hub_that_is_well_again_is_healed_soon_the_next_time(hub: Hub) -> None:
    hub.critical = 1
    hub.think()
    Brain.objects.update(heal_rounds=7)
    hub.do()
    hub.critical = 0
    hub.later(hours=2)

    assert 0 == hub.brain.heal_rounds


def test_healing_is_tried_three_times_in_ten_minutes_at_most(hub: Hub) -> None:
    hub.critical = 1
    for _ in range(3):
        hub.later(seconds=30)
        hub.do()
        Brain.objects.update(heal_after=None)

    decision = hub.later(seconds=30)
    assert not hub.is_in(S.HEALING)
    assert "Healing was tried as often as it may be in ten minutes." in decision.holds
    hub.asked.clear()

    hub.later(minutes=10)

    assert hub.is_in(S.HEALING)


def test_healing_that_hangs_ends_in_rest_with_an_alarm(hub: Hub) -> None:
    hub.critical = 1
    hub.think()
    hub.later(seconds=LONGEST_HEALING - 1)
    assert hub.is_in(S.HEALING)

    hub.later(seconds=1)

    assert hub.is_in(S.RESTING)
    assert {S.HEALING: "Healing took longer than 5 minutes."} == hub.alarms
    assert hub.now + timedelta(minutes=5) == hub.brain.heal_after


@pytest.mark.parametrize("state", [S.IMPROVING, S.CONTEMPLATING])
def test_a_look_that_hangs_ends_in_rest_with_an_alarm(hub: Hub, state: State) -> None:
    hub.later(minutes=1)
    if state is S.CONTEMPLATING:
        actions.cycle_ended(1, Outcome.NOTHING, now=hub.now)
    assert hub.is_in(state)

    hub.later(seconds=LONGEST)

    assert hub.is_in(S.RESTING)
    assert {state: f"{state.capitalize()} took longer than 2 hours."} == hub.alarms


def test_goals_of_which_none_moves_for_two_hours_end_in_rest_with_an_alarm_and_stay_there(hub: Hub) -> None:
    busy(hub)
    for _ in range(4 * 60):
        hub.later(minutes=1)

    assert [S.RESTING, S.EXECUTING, S.RESTING] == hub.path
    assert {S.EXECUTING: "No goal has moved for 2 hours."} == hub.alarms
    assert "a person has to look" in hub.think().holds[0]

    jobs.goal_moved(1)

    assert hub.is_in(S.EXECUTING)
    assert {} == hub.alarms


def test_an_alarm_ends_with_the_progress_of_its_own_state_and_of_no_other(hub: Hub) -> None:
    busy(hub)
    hub.later(seconds=LONGEST)
    assert {S.EXECUTING: "No goal has moved for 2 hours."} == hub.alarms
    hub.critical = 1
    hub.think()
    hub.critical = 0
    hub.do()
    assert [S.EXECUTING] == list(hub.alarms)

    actions.progressed(now=hub.now)
    hub.critical = 1
    hub.later(minutes=10)
    hub.later(seconds=LONGEST_HEALING)
    jobs.goal_moved(1)

    assert [S.HEALING] == list(hub.alarms)


def test_a_goal_that_moved_soon_before_the_alarm_ends_it_too(hub: Hub) -> None:
    """Its progress is written before the alarm is raised by whoever had looked before that."""
    busy(hub)
    hub.alarms[S.EXECUTING] = "No goal has moved for 2 hours."
    actions.progressed(now=hub.now)
    actions.progressed(now=hub.now)

    assert {} == hub.alarms


def test_goals_that_move_are_never_torn(hub: Hub) -> None:
    busy(hub)
    for _ in range(10):
        hub.later(hours=1)
        jobs.goal_moved(1)

    assert [S.RESTING, S.EXECUTING] == hub.path


def test_a_goal_that_an_agent_works_on_for_hours_is_not_stuck(hub: Hub) -> None:
    made = busy(hub)
    cast.agent()
    cast.working(cast.queued_task(goal=made.pk))
    hub.later(hours=3)

    assert hub.is_in(S.EXECUTING)


def test_only_so_many_goals_are_begun_at_once_by_priority(hub: Hub, settings) -> None:
    settings.GOALS_AT_ONCE = 2
    made = [goal(f"goal {number}", lane=lane) for number, lane in enumerate([3, 2, 1])]
    hub.think()
    hub.think()

    assert [S.RESTING, S.EXECUTING] == hub.path
    assert ["submitted", "decomposing", "decomposing"] == [cast.fresh(one).status for one in made]

    goals.cancel(made[2], by="ada")
    hub.think()

    assert ["decomposing", "decomposing", "cancelled"] == [cast.fresh(one).status for one in made]


def own_goal(title: str) -> Goal:
    """A goal that the hub made for itself."""
    made = goal(title)
    Goal.objects.filter(pk=made.pk).update(source=Source.HEALING, lane=1)
    return made


def test_what_the_hub_wants_of_itself_takes_no_place_of_people_and_goes_on_beside_them(hub: Hub) -> None:
    ours = [own_goal(f"fix {number}") for number in range(3)]
    theirs = [goal(f"goal {number}") for number in range(4)]
    hub.think()
    hub.think()

    assert ["decomposing", "submitted", "submitted"] == [cast.fresh(one).status for one in ours]
    assert [*["decomposing"] * 3, "submitted"] == [cast.fresh(one).status for one in theirs]

    goals.cancel(ours[0], by="ada")
    hub.think()

    assert ["decomposing", "submitted"] == [cast.fresh(one).status for one in ours[1:]]
    assert "submitted" == cast.fresh(theirs[3]).status


def test_a_used_up_budget_lets_goals_wait_until_the_hour_is_over(hub: Hub) -> None:
    spend(hub, S.EXECUTING, 20)
    made = goal()
    decision = hub.think()
    assert (S.RESTING, ("The executing budget is used up.",)) == (hub.state, decision.holds)

    hub.later(hours=1)

    assert hub.is_in(S.EXECUTING)
    assert GoalStatus.DECOMPOSING == cast.fresh(made).status


def test_a_budget_that_runs_out_while_executing_ends_in_rest(hub: Hub) -> None:
    busy(hub)
    spend(hub, S.EXECUTING, 20)
    hub.later(minutes=1)
    hub.later(minutes=1)

    assert [S.RESTING, S.EXECUTING, S.RESTING] == hub.path


def test_each_state_looks_at_its_own_budget(hub: Hub) -> None:
    spend(hub, S.CONTEMPLATING, 5)
    hub.later(minutes=1)
    hub.do()
    assert [S.RESTING, S.IMPROVING, S.RESTING] == hub.path

    spend(hub, S.IMPROVING, 10)
    hub.later(minutes=30)

    assert hub.is_in(S.RESTING)


def test_the_budget_of_the_whole_hub_holds_too(hub: Hub) -> None:
    from apps.ledger.budgets import set_budget

    set_budget(Scope.DAY, by="ada", limits=Limits(calls=3))
    Account.objects.create(scope=Scope.DAY, key=f"{hub.now:%Y-%m-%d}", spent_calls=3)
    goal()

    assert ("The executing budget is used up.",) == hub.think().holds


def test_a_paused_hub_begins_nothing_and_says_who_paused_it(hub: Hub) -> None:
    assert actions.pause(by="ada", reason="holidays")
    assert not actions.pause(by="bob")
    made = goal()
    hub.critical = 1
    for _ in range(60):
        hub.later(minutes=10)

    assert [S.RESTING] == hub.path
    assert GoalStatus.SUBMITTED == cast.fresh(made).status
    assert "ada" == gate.standing().by

    hub.critical = 0
    assert actions.resume(by="ada")
    assert not actions.resume(by="ada")
    hub.think()

    assert GoalStatus.DECOMPOSING == cast.fresh(made).status
    assert ["brain.paused", "brain.resumed"] == list(
        Event.objects.filter(kind__in=["brain.paused", "brain.resumed"]).values_list("kind", flat=True)
    )


def own_task(made: Goal) -> Task:
    """A task of a goal that the hub made for itself, which nobody has begun."""
    Goal.objects.filter(pk=made.pk).update(source=Source.IMPROVING)
    task = cast.queued_task(goal=made.pk)
    Slice.objects.create(goal=made, number=1, title="a part", task=task)
    return task


def test_a_pause_takes_what_the_hub_wants_of_itself_out_of_the_queue_and_leaves_what_people_want(hub: Hub) -> None:
    own, theirs = own_task(busy(hub)), cast.queued_task()
    actions.pause(by="ada")

    assert ("cancelled", "queued") == (cast.status_of(own), cast.status_of(theirs))


def test_what_came_in_while_it_was_being_paused_is_taken_out_by_the_next_thought(hub: Hub) -> None:
    made = busy(hub)
    actions.pause(by="ada")
    late = own_task(made)
    hub.later(minutes=1)

    assert "cancelled" == cast.status_of(late)


def test_work_of_the_hub_that_runs_when_it_is_paused_ends_and_nothing_follows(hub: Hub) -> None:
    hub.later(minutes=1)
    actions.pause(by="ada")
    hub.do()

    assert [S.RESTING, S.IMPROVING, S.RESTING] == hub.path
    assert "Improving found nothing. The hub is paused." == hub.brain.reason


@pytest.mark.parametrize("state", [S.IMPROVING, S.HEALING])
def test_work_that_was_queued_before_a_pause_is_not_done_in_it(hub: Hub, state: State) -> None:
    done: list[State] = []

    def work() -> int:
        done.append(state)
        return 1

    hub.work[state] = work
    hub.critical = state is S.HEALING
    hub.later(minutes=1)
    assert hub.is_in(state)
    actions.pause(by="ada")
    hub.do()

    assert [] == done
    assert [S.RESTING, state, S.RESTING] == hub.path


def test_goals_in_progress_go_on_executing_through_a_pause_and_no_watchdog_counts_it(hub: Hub) -> None:
    busy(hub)
    actions.pause(by="ada")
    hub.later(hours=5)
    assert hub.is_in(S.EXECUTING)

    actions.resume(by="ada")
    hub.later(minutes=119)
    assert hub.is_in(S.EXECUTING)

    hub.later(minutes=1)
    assert {S.EXECUTING: "No goal has moved for 2 hours."} == hub.alarms


def test_people_s_work_goes_before_looking_for_some(hub: Hub) -> None:
    hub.later(minutes=1)
    goal()
    hub.think()

    assert [S.RESTING, S.IMPROVING, S.EXECUTING] == hub.path


def test_what_a_cycle_brings_after_the_hub_has_left_it_changes_nothing(hub: Hub) -> None:
    hub.later(minutes=1)
    made = goal()
    hub.think()
    goals.cancel(made, by="ada")
    hub.later(minutes=1)
    hub.later(minutes=1)
    assert (S.IMPROVING, 2) == (hub.state, hub.brain.cycle)

    assert not actions.cycle_ended(1, Outcome.FOUND, now=hub.now)

    assert (S.IMPROVING, "") == (hub.state, hub.brain.outcome)


def test_work_that_was_killed_in_the_middle_is_begun_anew(hub: Hub) -> None:
    hub.later(minutes=1)
    hub.asked.clear()
    hub.later(minutes=15)
    assert [] == hub.asked

    hub.later(minutes=1)
    hub.later(seconds=1)

    assert [("apps.brain.jobs.improve", 1)] == hub.asked
    hub.do()
    assert hub.is_in(S.RESTING)


def test_work_that_fails_or_is_refused_ends_its_state_all_the_same(hub: Hub) -> None:
    def fail() -> int:
        raise RuntimeError("no disk")

    hub.work[S.IMPROVING] = fail
    hub.later(minutes=1)
    hub.do()

    assert [S.RESTING, S.IMPROVING, S.RESTING] == hub.path
    assert "Improving failed; the log says why." == hub.brain.reason
    assert 1 == hub.brain.idle


def test_a_job_that_runs_twice_does_its_work_once_its_result_counts(hub: Hub) -> None:
    done: list[int] = []

    def once() -> int:
        done.append(1)
        return 0

    hub.work[S.IMPROVING] = once
    hub.later(minutes=1)
    jobs.improve(1)
    jobs.improve(1)

    assert [1] == done


@pytest.mark.slow
def test_a_week_with_nothing_to_do_is_quiet(hub: Hub) -> None:
    """Eight looks until the waits are as long as they get, then one a day; three moves for each."""
    end = START + timedelta(days=7)
    while hub.now < end:
        hub.later(minutes=1 if hub.now < START + timedelta(hours=3) else 60)
        hub.do()

    looks = hub.path.count(S.IMPROVING)
    assert 14 == looks
    assert 3 * looks == hub.moves == Stay.objects.count() - 1 == Event.objects.filter(kind="brain.moved").count()
    assert not Charge.objects.exists()


def test_a_push_lets_it_look_again_but_never_more_than_once_a_minute(hub: Hub) -> None:
    for _ in range(60):
        hub.later(minutes=5)
        hub.do()
    assert hub.brain.next_look_at is not None
    assert hub.brain.next_look_at - hub.now > timedelta(minutes=30)
    looks = hub.path.count(S.IMPROVING)

    for _ in range(60):
        hub.now += timedelta(seconds=5)
        jobs.stirred(1)
        hub.do()

    assert 5 >= hub.path.count(S.IMPROVING) - looks >= 4


def test_old_stays_are_forgotten_but_never_the_one_that_lasts(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_STAYS", 3)
    for _ in range(4):
        hub.later(hours=3)
        hub.do()
    assert Stay.objects.count() > 4

    jobs.prune()
    assert 3 == Stay.objects.count()

    hub.now += timedelta(days=1000)
    jobs.prune()
    assert [None] == list(Stay.objects.values_list("left_at", flat=True))


def test_a_clock_that_is_set_back_breaks_nothing(hub: Hub) -> None:
    hub.later(minutes=1)
    goal()
    hub.later(hours=-1)

    assert hub.is_in(S.EXECUTING)
    assert all(stay.seconds is None or stay.seconds >= 0 for stay in Stay.objects.all())
