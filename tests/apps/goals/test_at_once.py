"""Several processes and people at the same goal at once: each thing happens once, and what was cancelled stays so.

First with the other one in the worst moment, on every database; then all together, on the one that allows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.endpoints.completion import Question
from apps.events import hints
from apps.events.models import Event
from apps.events.refused import Refused
from apps.forge.models import PullRequest
from apps.goals import actions, gate, jobs, merging, own, progress
from apps.goals.admission import MOST_HEALING
from apps.goals.models import Goal, Merge, Plan, Slice, Source
from apps.ledger import prices
from apps.tasks import actions as tasks
from apps.tasks import attempts
from apps.tasks.models import Task, Work
from tests import cast
from tests.apps.forge.workshop import Workshop, drain
from tests.foundry import Foundry, crew, piece, plan, verdict
from tests.model.crew import Crew

ROUNDS = 4
at_worst = pytest.mark.django_db
together = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def allowed(act: Callable[[], object]) -> Callable[[], None]:
    """`act`, which may be told that it came too late."""

    def done() -> None:
        with contextlib.suppress(Refused):
            act()

    return done


def meanwhile(monkeypatch: pytest.MonkeyPatch, room: Any, name: str, act: Callable[[], object]) -> None:
    """Have `act` done once, just before the function of that name goes on."""
    real, left = getattr(room, name), [act]

    def slowly(*args: Any, **named: Any) -> Any:
        if left:
            left.pop()()
        return real(*args, **named)

    monkeypatch.setattr(room, name, slowly)


def verifications(goal: Goal) -> int:
    return Task.objects.filter(goal=goal.pk, work=Work.VERIFICATION).count()


def events(goal: Goal, kind: str) -> int:
    return Event.objects.filter(subject=f"goal/{goal.pk}", kind=kind).count()


# --- at the worst moment ----------------------------------------------------------------------------------------------


@at_worst
def test_two_who_hand_in_at_once_hand_in_each_slice_once(foundry: Foundry, monkeypatch: pytest.MonkeyPatch) -> None:
    goal = foundry.goal()
    foundry.replies = [plan(piece("one"), piece("two"))]
    meanwhile(monkeypatch, progress, "_hand_in", lambda: progress.advance(goal.pk))
    actions.begin(goal)
    drain()

    assert [1, 1] == list(Slice.objects.values_list("handed", flat=True))
    assert 2 == Task.objects.filter(goal=goal.pk).count()


@at_worst
def test_what_is_revived_in_the_moment_that_its_goal_is_given_up_goes_on(
    foundry: Foundry, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = foundry.begun(piece("one"))
    task = foundry.slice(goal, 1).task
    assert task is not None
    meanwhile(monkeypatch, progress, "_give_up", lambda: tasks.revive(cast.fresh(task), by="ann"))
    tasks.expire(task, "Its time was up.")
    drain()

    assert ("executing", ["running"]) == (cast.fresh(goal).status, foundry.states(goal))


@at_worst
def test_two_who_begin_a_merge_at_once_have_the_checks_repeated_once(
    foundry: Foundry, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    meanwhile(monkeypatch, merging, "_have_checked", lambda: progress.advance(goal.pk))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})

    assert (1, 1) == (Merge.objects.filter(goal=goal).count(), verifications(goal))
    foundry.checked(goal)
    assert ["merged", "running"] == foundry.states(goal)


@at_worst
def test_what_is_cancelled_while_its_work_is_merged_has_nothing_checked_any_more(
    foundry: Foundry, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = foundry.begun(piece("one"))
    meanwhile(monkeypatch, merging, "_have_checked", lambda: actions.cancel(goal, by="ann"))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})

    assert "cancelled" == cast.fresh(goal).status
    assert (0, []) == (verifications(goal), foundry.open_tasks(goal))


@at_worst
def test_what_is_cancelled_while_its_report_is_taken_does_not_go_on(
    foundry: Foundry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch of the goal may move; that is nobody's but the goal's."""
    goal, before = foundry.begun(piece("one"), piece("two", after=[1])), foundry.workshop.main()
    foundry.deliver(goal, 1, {"one.txt": "1\n"})
    meanwhile(monkeypatch, merging, "_land", lambda: actions.cancel(goal, by="ann"))
    pending = Merge.objects.get(goal=goal, status="pending")
    assert pending.task is not None
    attempt = cast.working(pending.task)
    report = cast.report(pending.task.checks, commit=pending.commit, tree=pending.tree)
    attempts.complete(cast.fence(attempt), {}, [report])
    with contextlib.suppress(Refused):
        drain()
    drain()

    assert "cancelled" == cast.fresh(goal).status
    assert ["stale"] == list(Merge.objects.values_list("status", flat=True))
    assert [] == foundry.open_tasks(goal)
    assert before == foundry.workshop.main()


@at_worst
def test_what_is_cancelled_while_it_is_judged_opens_no_pull_request(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))

    def late(asked: Question) -> str:
        actions.cancel(goal, by="ann")
        return verdict(asked, where="one.txt")

    foundry.replies = [late]
    foundry.done(goal, 1, {"one.txt": "1\n"})

    assert "cancelled" == cast.fresh(goal).status
    assert not PullRequest.objects.exists()


@at_worst
def test_a_plan_that_comes_after_the_goal_was_cancelled_is_not_kept(foundry: Foundry) -> None:
    goal = foundry.goal()

    def late(_: Question) -> str:
        actions.cancel(goal, by="ann")
        return plan(piece("one"))

    foundry.replies = [late]
    actions.begin(goal)
    drain()

    assert "cancelled" == cast.fresh(goal).status
    assert (0, 0) == (Plan.objects.count(), Slice.objects.count())


# --- all together -----------------------------------------------------------------------------------------------------


@pytest.fixture
def real(
    transactional_db: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Foundry, Crew]]:
    """A foundry whose commits are real, and the processes that are at it."""
    monkeypatch.setattr(hints, "send", lambda _: None)
    settings.DATA_DIR = tmp_path / "data"
    prices.load()  # which the end of a test of real transactions empties
    crew()
    threads = Crew(4)
    yield Foundry(Workshop(tmp_path), monkeypatch), threads
    threads.dismiss()


Real = tuple[Foundry, Crew]


def begun(foundry: Foundry, *names: str, **wanted: Any) -> Goal:
    return foundry.begun(*map(piece, names), **wanted)


class TestTogether:
    """Every one of these ends the same, whoever is first."""

    pytestmark = together

    def test_four_who_go_on_hand_in_each_slice_once(self, real: Real) -> None:
        foundry, threads = real
        for _ in range(ROUNDS):
            gate.close(by="ann")
            goal = foundry.goal()
            foundry.replies = [plan(piece("one"), piece("two"))]
            gate.open_(by="ann")
            actions.begin(goal)
            jobs.decompose(goal.pk)
            threads.do([partial(progress.advance, goal.pk)] * 4)

            assert [1, 1] == list(Slice.objects.filter(goal=goal).values_list("handed", flat=True))
            assert 2 == Task.objects.filter(goal=goal.pk).count()
            actions.cancel(goal, by="ann")

    def test_four_who_begin_a_merge_begin_one(self, real: Real) -> None:
        foundry, threads = real
        goal = begun(foundry, "one", "two")
        for number in (1, 2):
            task = foundry.slice(goal, number).task
            assert task is not None
            foundry.workshop.deliver(task, {f"{number}.txt": "x\n"})
        threads.do([partial(progress.advance, goal.pk)] * 4)

        assert (1, 1) == (Merge.objects.filter(goal=goal).count(), verifications(goal))

    def test_four_who_take_a_report_land_it_once(self, real: Real) -> None:
        foundry, threads = real
        goal = begun(foundry, "one", "two")
        foundry.deliver(goal, 1, {"one.txt": "1\n"})
        pending = Merge.objects.select_related("task").get(goal=goal)
        assert pending.task is not None
        attempt = cast.working(pending.task)
        report = cast.report(pending.task.checks, commit=pending.commit, tree=pending.tree)
        attempts.complete(cast.fence(attempt), {}, [report])
        threads.do([allowed(partial(jobs.task_changed, pending.task.pk))] * 4)

        assert ["landed"] == list(Merge.objects.filter(goal=goal).values_list("status", flat=True))
        assert 1 == events(goal, "goal.merged")
        assert "1\n" == foundry.shown(goal, "one.txt")

    def test_an_approval_and_a_cancellation_end_in_a_cancelled_goal_without_work(self, real: Real) -> None:
        foundry, threads = real
        for _ in range(ROUNDS):
            goal = begun(foundry, "one", "two", needs_approval=True)
            assert goal.awaits_approval
            threads.do(
                [
                    allowed(partial(actions.approve, goal, by="ann")),
                    allowed(partial(actions.cancel, goal, by="ben")),
                    allowed(partial(progress.advance, goal.pk)),
                    allowed(partial(actions.approve, goal, by="cleo")),
                ]
            )
            drain()

            assert "cancelled" == cast.fresh(goal).status
            assert [] == foundry.open_tasks(goal)
            assert events(goal, "goal.approved") <= 1

    def test_a_cancellation_while_all_others_go_on_leaves_no_work(self, real: Real) -> None:
        foundry, threads = real
        for _ in range(ROUNDS):
            goal = begun(foundry, "one", "two")
            task = foundry.slice(goal, 1).task
            assert task is not None
            foundry.workshop.deliver(task, {f"{goal.pk}.txt": "1\n"})
            threads.do([*[partial(progress.advance, goal.pk)] * 3, partial(actions.cancel, goal, by="ben")])
            drain()

            assert "cancelled" == cast.fresh(goal).status
            assert [] == foundry.open_tasks(goal)
            assert not Merge.objects.filter(goal=goal, status="pending").exists()

    def test_four_who_judge_ask_once_and_open_one_pull_request(self, real: Real) -> None:
        foundry, threads = real
        goal = begun(foundry, "one")
        gate.close(by="ann")
        foundry.replies = [lambda asked: verdict(asked, where="one.txt")]
        foundry.asked.clear()
        foundry.deliver(goal, 1, {"one.txt": "1\n"})
        gate.open_(by="ann")
        progress.advance(goal.pk)
        pending = Merge.objects.select_related("task").get(goal=goal)
        assert pending.task is not None
        attempt = cast.working(pending.task)
        report = cast.report(pending.task.checks, commit=pending.commit, tree=pending.tree)
        attempts.complete(cast.fence(attempt), {}, [report])
        merging.take_report(cast.fresh(pending.task))
        progress.advance(goal.pk)
        assert "verifying" == cast.fresh(goal).status
        threads.do([partial(jobs.judge, goal.pk)] * 4)

        assert "complete" == cast.fresh(goal).status
        assert (1, 1) == (len(foundry.asked), PullRequest.objects.count())

    def test_a_pause_while_work_is_handed_in_leaves_none_of_the_hubs_own_in_the_queue(self, real: Real) -> None:
        foundry, threads = real
        for _ in range(ROUNDS):
            wanted = actions.Wanted(title="Mend it", repo=foundry.workshop.repo, source=Source.HEALING)
            goal, _ = actions.submit(wanted, by="the hub")
            foundry.replies = [plan(*(piece(name) for name in ("one", "two", "three", "four", "five", "six")))]
            actions.begin(goal)
            jobs.decompose(goal.pk)
            threads.do([*[partial(progress.advance, goal.pk)] * 3, partial(gate.close, by="ann")])
            own.withdraw()
            progress.advance(goal.pk)

            assert not Task.objects.filter(goal=goal.pk, status="queued").exists()
            gate.open_(by="ann")
            actions.cancel(goal, by="ann")

    def test_many_wishes_of_its_own_at_once_become_no_more_goals_than_may_be_open(self, real: Real) -> None:
        foundry, threads = real
        wanted = actions.Wanted(title="Mend it", repo=foundry.workshop.repo, source=Source.HEALING)
        threads.do([allowed(partial(own.submit_own, wanted, fingerprint=f"fault {n}")) for n in range(4)])

        assert MOST_HEALING == Goal.objects.own().count()

    def test_a_goal_that_is_let_go_on_by_two_goes_on_once(self, real: Real) -> None:
        foundry, threads = real
        goal = begun(foundry, "one")
        progress.want_review(goal, "Look at it.")
        threads.do([allowed(partial(actions.go_on, goal, by=name)) for name in ("ann", "ben", "cleo", "dan")])

        assert "executing" == cast.fresh(goal).status
        assert 1 == events(goal, "goal.resumed")
