"""What becomes of a goal when the model is wrong, lies, is away, or its process dies."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.endpoints.completion import NoThinker, Question, ThinkingFailed
from apps.events.models import Event
from apps.events.refused import Refused
from apps.forge.models import PullRequest
from apps.goals import actions, claims, gate, jobs, own, reading
from apps.goals.actions import Wanted
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal, Merge, Plan, Slice, Source
from apps.goals.own import TurnedAway
from apps.ledger import prices
from apps.ledger.budgets import set_budget
from apps.ledger.limits import Limits, Scope
from apps.ledger.models import Account
from apps.repos.models import Repo
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task
from apps.tasks.waiting import why
from tests import cast
from tests.apps.forge.workshop import drain
from tests.foundry import Foundry, piece, plan, verdict

pytestmark = pytest.mark.django_db
FAILED = Refused("thinking_failed", "The model's server is away.")
CUT_OFF = ThinkingFailed("thinking_cut_off", "It was not at its end.", said='{"slices": [{"title": "on and on')


def due(goal: Goal) -> Goal:
    """The pause after a failed call is over, and the clock has come round."""
    Goal.objects.filter(pk=goal.pk).update(not_before=None)
    jobs.sweep()
    drain()
    return cast.fresh(goal)


def faults(goal: Goal) -> list[str]:
    rows = Event.objects.filter(subject=f"goal/{goal.pk}", kind="goal.retried").values_list("data", flat=True)
    return [data["fault"] for data in rows if "fault" in data]


def test_each_kind_of_fault_is_told_once_and_the_repaired_plan_is_taken(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [
        "no idea",
        plan(piece("one", after=[7])),
        plan(piece("one", files=["gone.py"])),
        plan(piece("one", new=["one.py"])),
    ]
    actions.begin(goal)
    drain()

    assert "executing" == cast.fresh(goal).status
    assert ["not_json", "dag", "path"] == faults(goal)
    assert "gone.py" in foundry.asked[3].prompt
    ids = [asked.call_id for asked in foundry.asked]
    assert len(ids) == len(set(ids))
    assert all(str(goal.pk) == asked.scopes["goal"] for asked in foundry.asked)


def test_a_planner_that_repeats_its_fault_ends_in_review_with_everything_kept(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [plan(piece("one", after=[1]))]
    actions.begin(goal)
    drain()

    waiting = cast.fresh(goal)
    assert ("needs_review", 2) == (waiting.status, len(foundry.asked))
    assert waiting.reason.startswith("The model gave no usable plan. The last fault: ")
    assert "after itself" in waiting.reason
    said = Event.objects.filter(kind="goal.retried").values_list("data", flat=True)
    assert all("slices" in data["said"] for data in said)
    foundry.replies = [plan(piece("one"))]
    actions.go_on(waiting, by="ann")
    drain()
    assert "executing" == cast.fresh(goal).status


def test_an_answer_that_was_cut_off_is_told_to_the_planner_and_kept(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [CUT_OFF, plan(piece("one"))]
    actions.begin(goal)
    drain()

    first, second = foundry.asked
    assert ("executing", 0) == (cast.fresh(goal).status, cast.fresh(goal).tries)
    assert f"cut off at its limit of {first.max_output} tokens" in second.prompt
    assert "short enough to be finished" in second.prompt
    assert "on and on" in second.prompt
    (kept,) = Event.objects.filter(kind="goal.retried").values_list("data", flat=True)
    assert CUT_OFF.said == kept["said"]


def test_a_planner_that_never_comes_to_an_end_ends_in_review_after_two_calls(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [CUT_OFF]
    actions.begin(goal)
    drain()

    assert ("needs_review", 2) == (cast.fresh(goal).status, len(foundry.asked))
    assert "cut off" in cast.fresh(goal).reason


def test_an_answer_may_be_longer_where_the_context_is_larger(foundry: Foundry, settings: Settings) -> None:
    settings.THINKING_CONTEXT = 32_768
    foundry.begun(piece("one"))

    assert 8_192 == foundry.asked[0].max_output


def test_a_goal_that_cannot_be_reached_fails_with_the_reason(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [json.dumps({"impossible": "There is no network here.", "slices": []})]
    actions.begin(goal)
    drain()

    assert ("failed", "There is no network here.") == (cast.fresh(goal).status, cast.fresh(goal).reason)


def test_a_plan_for_another_repository_is_never_carried_out(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [plan({**piece("one"), "repo": "secrets"})]
    actions.begin(goal)
    drain()

    assert "needs_review" == cast.fresh(goal).status
    assert not Slice.objects.exists()


def test_a_plan_that_wants_approval_waits_for_one_and_then_goes_on(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), needs_approval=True)
    assert ("decomposing", True, 1) == (goal.status, goal.awaits_approval, Slice.objects.count())
    jobs.sweep()
    drain()
    assert 1 == len(foundry.asked)

    actions.approve(goal, by="ann")
    drain()

    assert ["running"] == foundry.states(goal)


def test_a_plan_that_wants_approval_is_asked_for_again_when_the_first_call_failed(foundry: Foundry) -> None:
    goal = foundry.goal(needs_approval=True)
    foundry.replies = [FAILED, plan(piece("one"))]
    actions.begin(goal)
    drain()
    assert (1, False) == (cast.fresh(goal).tries, cast.fresh(goal).awaits_approval)

    assert due(goal).awaits_approval


def test_a_call_that_fails_is_made_again_after_a_pause_that_doubles_and_not_for_ever(
    foundry: Foundry, settings: Settings
) -> None:
    settings.THINKING_TRIES = 3
    goal = foundry.goal()
    foundry.replies = [FAILED]
    actions.begin(goal)
    drain()

    first = cast.fresh(goal)
    assert ("decomposing", 1, FAILED.message) == (first.status, first.tries, first.hold)
    assert first.not_before is not None
    assert first.not_before > timezone.now()
    jobs.sweep()
    drain()
    assert 1 == len(foundry.asked)
    second = due(goal)
    assert second.not_before is not None
    assert second.not_before - timezone.now() > settings.THINKING_BACKOFF * 1.5

    ended = due(goal)
    assert ("needs_review", 3) == (ended.status, len(foundry.asked))
    assert f"3 model calls failed. The last error: {FAILED.message}" == ended.reason


def test_without_anybody_to_think_a_goal_waits_and_nothing_is_counted(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [NoThinker("no_thinker", why="no endpoint is up"), plan(piece("one"))]
    actions.begin(goal)
    drain()
    held = cast.fresh(goal)
    assert ("decomposing", 0) == (held.status, held.tries)
    assert "no endpoint is up" in held.hold

    jobs.means_changed()
    drain()

    going = cast.fresh(goal)
    assert ("executing", "") == (going.status, going.hold)


@pytest.mark.parametrize("code", ["unreachable", "busy", "limited"])
def test_while_no_model_can_be_asked_a_goal_waits_and_nothing_is_counted(foundry: Foundry, code: str) -> None:
    goal = foundry.goal()
    foundry.replies = [ThinkingFailed(f"thinking_{code}", "503: server busy"), plan(piece("one"))]
    actions.begin(goal)
    drain()

    held = cast.fresh(goal)
    assert ("decomposing", 0) == (held.status, held.tries)
    assert "server busy" in held.hold
    assert held.not_before is not None
    assert held.not_before - timezone.now() <= claims.WAITING_FOR_MEANS
    assert "executing" == due(goal).status


@pytest.mark.parametrize("code", ["unauthorized", "declined", "context", "refused", "forbidden", "model_missing"])
def test_what_no_waiting_can_mend_needs_a_person_at_once(foundry: Foundry, code: str) -> None:
    goal = foundry.goal()
    foundry.replies = [ThinkingFailed(f"thinking_{code}", "401: invalid x-api-key")]
    actions.begin(goal)
    drain()

    held = cast.fresh(goal)
    assert ("needs_review", 1) == (held.status, len(foundry.asked))
    assert "invalid x-api-key" in held.reason


@pytest.mark.parametrize(
    "failure",
    [
        ThinkingFailed("thinking_slow", "It took more than 300 seconds."),
        ThinkingFailed("thinking_error", "500: crashed"),
        ThinkingFailed("thinking_busy", "overloaded within the answer", worked=True),
    ],
    ids=lambda failure: failure.code,
)
def test_a_call_that_may_have_cost_something_counts_as_a_failed_try(foundry: Foundry, failure: ThinkingFailed) -> None:
    goal = foundry.goal()
    foundry.replies = [failure]
    actions.begin(goal)
    drain()

    assert ("decomposing", 1) == (cast.fresh(goal).status, cast.fresh(goal).tries)


def test_while_the_gate_is_closed_nobody_is_asked(foundry: Foundry) -> None:
    goal = foundry.goal()
    foundry.replies = [plan(piece("one"))]
    gate.close(by="ann")
    actions.begin(goal)
    drain()
    assert [] == foundry.asked

    gate.open_(by="ann")
    assert "executing" == due(goal).status


def test_a_process_that_dies_while_it_asks_holds_the_goal_up_only_until_its_claim_lapses(
    foundry: Foundry, settings: Settings
) -> None:
    goal = foundry.goal()
    actions.begin(goal)
    foundry.replies = [plan(piece("one"))]
    claim = claims.take(goal.pk, GoalStatus.DECOMPOSING)
    assert claim is not None
    assert claims.take(goal.pk, GoalStatus.DECOMPOSING) is None
    drain()
    assert [] == foundry.asked

    Goal.objects.filter(pk=goal.pk).update(claim_until=timezone.now() - timedelta(seconds=1))
    assert 1 == due(goal).tries  # counted, or a goal that kills whoever asks would be asked about for ever
    assert "executing" == due(goal).status
    with pytest.raises(Refused):  # what the dead one brings back, should it live after all
        claim.held()
    assert 1 == Plan.objects.count()


def test_two_that_ask_at_once_make_one_plan(foundry: Foundry) -> None:
    goal = foundry.goal()

    def meanwhile(asked: Question) -> str:
        jobs.decompose(goal.pk)
        return plan(piece("one"))

    foundry.replies = [meanwhile]
    actions.begin(goal)
    drain()

    assert (1, 1, 1) == (len(foundry.asked), Plan.objects.count(), Slice.objects.count())


# --- judging ----------------------------------------------------------------------------------------------------------


def merged(foundry: Foundry, *replies: Any, **wanted: Any) -> Goal:
    goal = foundry.begun(piece("one"), **wanted)
    foundry.replies = list(replies)
    foundry.asked.clear()
    foundry.done(goal, 1, {"one.txt": "1\n"})
    return cast.fresh(goal)


def test_what_is_missing_becomes_slices_and_two_rounds_later_a_person_looks(foundry: Foundry) -> None:
    goal = merged(foundry, lambda asked: verdict(asked, met=False, gaps=["It does not say enough."]))
    for number in (2, 3):
        assert ("executing", number - 1) == (goal.status, goal.rounds)
        one = foundry.slice(goal, number)
        assert "It does not say enough." == one.title
        foundry.done(goal, number, {f"{number}.txt": "more\n"})
        goal = cast.fresh(goal)

    assert "needs_review" == goal.status
    assert "It does not say enough." in goal.reason
    assert not PullRequest.objects.exists()


@pytest.mark.parametrize(
    "lie",
    [
        "Looks good to me!",
        lambda asked: verdict(asked, where="elsewhere.txt"),
        lambda asked: verdict(asked, met=False, gaps=[]),
        json.dumps({"verdict": "pass", "reason": "Yes.", "criteria": [], "gaps": []}),
    ],
    ids=["prose", "cites nothing real", "fails without a gap", "leaves the criterion out"],
)
def test_a_judge_that_shows_nothing_is_not_believed(foundry: Foundry, settings: Settings, lie: Any) -> None:
    settings.THINKING_TRIES = 2
    goal = merged(foundry, lie)
    assert ("verifying", 1, 2) == (goal.status, goal.tries, len(foundry.asked))

    goal = due(goal)

    assert "needs_review" == goal.status
    assert 4 == len(foundry.asked)
    assert not PullRequest.objects.exists()


def test_a_verdict_that_was_cut_off_is_told_to_the_judge(foundry: Foundry) -> None:
    goal = merged(foundry, CUT_OFF, lambda asked: verdict(asked, where="one.txt"))

    assert ("complete", 2) == (goal.status, len(foundry.asked))
    assert "cut off at its limit" in foundry.asked[1].prompt


def test_the_verdict_and_its_reasons_stay_with_the_goal(foundry: Foundry) -> None:
    goal = merged(foundry, lambda asked: verdict(asked, where="one.txt"))

    assert "complete" == goal.status
    found = goal.judgement["criteria"]
    assert [{"criterion": "It says more.", "met": True, "where": "one.txt"}] == found


def test_a_crash_between_the_verdict_and_the_pull_request_asks_nobody_again(
    foundry: Foundry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.forge import opening

    real, broken = opening.open_whole, iter([True])

    def once(*args: Any) -> Any:
        if next(broken, False):
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(opening, "open_whole", once)
    goal = foundry.begun(piece("one"))
    foundry.replies = [lambda asked: verdict(asked, where="one.txt")]
    foundry.asked.clear()
    with pytest.raises(KeyboardInterrupt):
        foundry.done(goal, 1, {"one.txt": "1\n"})
    Goal.objects.filter(pk=goal.pk).update(claim_until=timezone.now() - timedelta(seconds=1))
    due(goal)

    assert "complete" == due(goal).status
    assert (1, 1) == (len(foundry.asked), PullRequest.objects.count())


# --- the hub's own ----------------------------------------------------------------------------------------------------


def wanted(repo: Repo, **more: Any) -> Wanted:
    return Wanted(title="Mend it", repo=repo, source=Source.HEALING, **more)


def test_the_hub_wants_nothing_twice_and_nothing_that_people_said_no_to() -> None:
    repo = cast.repo("sample")
    goal = own.submit_own(wanted(repo), fingerprint="broken-main")
    assert goal.is_own
    with pytest.raises(TurnedAway, match="same thing"):
        own.submit_own(wanted(repo), fingerprint="broken-main")

    actions.cancel(goal, by="ann")

    with pytest.raises(TurnedAway, match="rejected this"):
        own.submit_own(wanted(repo), fingerprint="broken-main")
    with pytest.raises(TurnedAway, match="due at"):
        own.submit_own(wanted(repo), fingerprint="something-else")
    later = timezone.now() + timedelta(days=31)
    assert own.submit_own(wanted(repo), fingerprint="broken-main", now=later).pk != goal.pk


def test_what_the_hub_wants_of_itself_is_paid_by_the_state_that_wanted_it(foundry: Foundry) -> None:
    mine = own.submit_own(wanted(foundry.workshop.repo), fingerprint="x")
    foundry.replies = [plan(piece("one"))]
    actions.begin(mine)
    drain()
    foundry.begun(piece("two"), title="Theirs")

    assert ["healing", "executing"] == [asked.state for asked in foundry.asked]


def test_thinking_and_work_for_what_the_hub_wants_of_itself_are_paid_from_its_own_share(foundry: Foundry) -> None:
    prices.load()
    mine = own.submit_own(wanted(foundry.workshop.repo), fingerprint="x")
    foundry.replies = [plan(piece("one"))]
    actions.begin(mine)
    drain()
    assert foundry.asked[0].own
    match()
    (account,) = Account.objects.filter(scope=Scope.OWN_DAY)
    assert account.reserved.tokens > 0
    before = account.reserved

    theirs = foundry.begun(piece("two"), title="Theirs")
    match()

    assert not foundry.asked[1].own
    assert ["running"] == foundry.states(theirs)
    assert before == cast.fresh(account).reserved


def test_when_its_share_is_used_up_work_on_the_hubs_own_goals_waits_and_says_so_and_peoples_does_not(
    foundry: Foundry,
) -> None:
    prices.load()
    set_budget(Scope.OWN_DAY, by="ann", limits=Limits(tokens=1))
    mine = own.submit_own(wanted(foundry.workshop.repo), fingerprint="x")
    foundry.replies = [plan(piece("one"))]
    actions.begin(mine)
    drain()
    theirs = foundry.begun(piece("two"), title="Theirs")
    while match():
        pass

    held, going = foundry.slice(mine, 1).task, foundry.slice(theirs, 1).task
    assert held is not None
    assert going is not None
    assert ("queued", "assigned") == (held.status, going.status)
    assert "of the hub's own goals" in why(held)
    rows = [cast.fresh(mine), cast.fresh(theirs)]
    (said,) = reading.holds(rows).items()
    assert (mine.pk, True) == (said[0], said[1].endswith("of the hub's own goals is used up."))

    set_budget(Scope.OWN_DAY, by="ann", limits=Limits(tokens=10**9))
    assert {} == reading.holds(rows)


def unbegun(task: Task) -> None:
    """No agent was free for it yet."""
    Attempt.objects.filter(task=task).delete()
    Task.objects.filter(pk=task.pk).update(status="queued")


def test_a_pause_takes_back_checks_that_nobody_has_begun_and_the_merge_is_tried_anew(foundry: Foundry) -> None:
    mine = own.submit_own(wanted(foundry.workshop.repo), fingerprint="x")
    foundry.replies = [plan(piece("one"), piece("two", after=[1]))]
    actions.begin(mine)
    drain()
    foundry.deliver(mine, 1, {"one.txt": "1\n"})
    theirs = foundry.begun(piece("three"), title="Theirs")
    foundry.deliver(theirs, 1, {"three.txt": "3\n"})
    for _ in range(3):  # more often than a merge may fail to be checked
        for merge in Merge.objects.filter(status="pending").select_related("task"):
            assert merge.task is not None
            unbegun(merge.task)

        gate.close(by="ann")
        assert (1, 0) == (own.withdraw(), own.withdraw())
        drain()
        assert (["done", "waiting"], ["merging"]) == (foundry.states(mine), foundry.states(theirs))

        gate.open_(by="ann")
        jobs.sweep()
        drain()
        assert ["merging", "waiting"] == foundry.states(mine)

    foundry.checked(mine)
    assert (["merged", "running"], 1) == (foundry.states(mine), foundry.slice(mine, 1).handed)


def test_while_it_is_paused_the_hub_wants_nothing_of_itself_and_takes_back_what_nobody_has_begun(
    foundry: Foundry,
) -> None:
    repo = foundry.workshop.repo
    mine = own.submit_own(wanted(repo, checks=[{"type": "git_clean"}]), fingerprint="x")
    foundry.replies = [plan(piece("one"), piece("two"))]
    actions.begin(mine)
    drain()
    theirs = foundry.begun(piece("three"), title="Theirs")
    begun = foundry.slice(mine, 1).task
    assert begun is not None
    cast.working(begun)
    other = foundry.slice(mine, 2).task
    assert other is not None
    unbegun(other)

    gate.close(by="ann")
    assert 1 == own.withdraw()
    drain()

    assert ["running", "waiting"] == foundry.states(mine)
    assert ["running"] == foundry.states(theirs)
    with pytest.raises(TurnedAway, match="paused"):
        own.submit_own(wanted(repo), fingerprint="y")
    gate.open_(by="ann")
    jobs.sweep()
    drain()
    assert ["running", "running"] == foundry.states(mine)
    assert 2 == foundry.slice(mine, 2).handed
