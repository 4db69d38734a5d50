"""A goal from its words to one pull request: slices in their order, merged one at a time, checked when merged."""

from __future__ import annotations

import subprocess
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from apps.events.models import Event
from apps.forge import actions as forge
from apps.forge import merging
from apps.forge.evidence import evidence_of
from apps.forge.evidence_text import markdown
from apps.forge.models import PullRequest
from apps.goals import actions, gate, jobs
from apps.goals.models import Goal, Merge
from apps.repos import mirror
from apps.repos.models import Repo
from apps.repos.trusted import GitFailed
from apps.tasks import actions as tasks
from apps.tasks import attempts
from apps.tasks.models import Task, Work
from tests import cast
from tests.apps.forge.workshop import drain, run_git
from tests.foundry import TESTS, Foundry, piece, verdict

pytestmark = pytest.mark.django_db


def kinds(goal: Goal) -> list[str]:
    return list(Event.objects.filter(subject=f"goal/{goal.pk}").values_list("kind", flat=True))


def test_the_plan_becomes_slices_and_those_that_wait_for_nothing_are_handed_in_together(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"), piece("three", after=[1, 2]))

    assert "executing" == goal.status
    assert ["running", "running", "waiting"] == foundry.states(goal)
    assert [goal.branch] * 2 == [task.start for task in foundry.open_tasks(goal)]
    assert f"agentcom/goal/{goal.pk}-say-more" == goal.branch
    assert foundry.workshop.main() == mirror.head(foundry.workshop.mirror, goal.branch) == goal.base


def test_a_slice_is_merged_when_the_checks_passed_on_the_merged_tree_and_the_next_starts_from_there(
    foundry: Foundry,
) -> None:
    goal = foundry.begun(piece("one"), piece("two", after=[1]))

    foundry.deliver(goal, 1, {"one.txt": "1\n"})
    assert ["merging", "waiting"] == foundry.states(goal)
    assert [["make test", "check one"]] == [
        [check["target"] for check in task.checks] for task in Task.objects.filter(work=Work.VERIFICATION)
    ]
    foundry.checked(goal)

    assert ["merged", "running"] == foundry.states(goal)
    assert "1\n" == foundry.shown(goal, "one.txt")
    foundry.done(goal, 2, {"two.txt": "2\n"})
    assert ("1\n", "2\n") == (foundry.shown(goal, "one.txt"), foundry.shown(goal, "two.txt"))
    assert not PullRequest.objects.exists()


def test_parallel_slices_are_merged_one_at_a_time(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})
    foundry.deliver(goal, 2, {"two.txt": "2\n"})

    assert ["merging", "done"] == foundry.states(goal)
    foundry.checked(goal)
    assert ["merged", "merging"] == foundry.states(goal)
    foundry.replies = [lambda asked: verdict(asked, where="one.txt")]
    foundry.checked(goal)

    assert ["merged", "merged"] == foundry.states(goal)


def test_what_is_judged_complete_becomes_one_pull_request_for_a_person(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    before = foundry.workshop.main()
    foundry.done(goal, 1, {"one.txt": "1\n"})
    foundry.replies = [lambda asked: verdict(asked, where="two.txt")]
    foundry.done(goal, 2, {"two.txt": "2\n"})

    done = cast.fresh(goal)
    assert ("complete", "pass") == (done.status, done.judgement["verdict"])
    pull = PullRequest.objects.get()
    assert (goal.pk, goal.branch, "main", "Say more") == (pull.goal, pull.branch, pull.base_branch, pull.title)
    assert {"make test", "check one", "check two"} == {check["target"] for check in pull.checks}
    it = evidence_of(pull)
    assert [("one", 1, 2), ("two", 1, 2)] == [(part.title, part.attempts, part.passed) for part in it.parts]
    assert "### Parts" in markdown(it)
    ann = Client()
    ann.force_login(User.objects.create_user("ann", is_staff=True))
    page = ann.get(f"/pulls/{pull.pk}").content.decode()
    assert f'<a href="/goals/{goal.pk}">goal {goal.pk}</a>, 2 parts' in page
    assert "2 of 2 checks passed" in page
    assert before == foundry.workshop.main()
    assert "goal.completed" == kinds(goal)[-1]


def test_the_evidence_names_every_part_also_when_the_first_to_begin_was_merged_last(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    foundry.done(goal, 2, {"two.txt": "2\n"})
    foundry.replies = [lambda asked: verdict(asked, where="two.txt")]
    foundry.done(goal, 1, {"one.txt": "1\n"})

    assert ["two", "one"] == [part.title for part in evidence_of(PullRequest.objects.get()).parts]


def test_the_evidence_names_what_came_in_and_counts_what_did_not(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    foundry.deliver(goal, 1, {"README": "ONE\ntwo\nthree\n"})
    foundry.deliver(goal, 2, {"README": "EINS\ntwo\nthree\n"})
    foundry.checked(goal)
    foundry.replies = [lambda asked: verdict(asked, where="README")]
    foundry.done(goal, 2, {"README": "ONE EINS\ntwo\nthree\n"})

    it = evidence_of(PullRequest.objects.get())

    landed = list(goal.merges.filter(status="landed").order_by("pk").values_list("commit", flat=True))
    assert [("one", 1, 2, landed[0]), ("two", 2, 2, landed[1])] == [
        (part.title, part.attempts, part.passed, part.commit) for part in it.parts
    ]
    assert [("It says more.", True, "README")] == [
        (one["criterion"], one["met"], one["where"]) for one in it.judgement["criteria"]
    ]
    assert "### Judgement" in markdown(it)


def test_changes_asked_of_a_whole_goal_go_to_a_model_for_all_of_it(foundry: Foundry) -> None:
    ann = User.objects.create_user("ann", "ann@example.invalid", is_staff=True)
    goal = foundry.begun(piece("one", tier="trivial"))
    foundry.replies = [lambda asked: verdict(asked, where="one.txt")]
    foundry.done(goal, 1, {"one.txt": "1\n"})

    task = forge.request_changes(PullRequest.objects.get(), ann, "Say it louder.")

    assert ("complex", {"pull_request"}) == (task.tier, set(task.metadata))


def test_work_that_was_never_pushed_comes_back_and_holds_nobody_up(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    one = foundry.slice(goal, 1).task
    assert one is not None
    attempt = cast.working(one)
    report = cast.report(one.checks, commit="a" * 40, tree="b" * 40)
    attempts.complete(cast.fence(attempt), {"commit": "a" * 40}, [report])
    drain()

    assert (["running", "running"], "") == (foundry.states(goal), cast.fresh(goal).hold)
    assert ["red"] == list(goal.merges.values_list("status", flat=True))
    again = foundry.slice(goal, 1).task
    assert again is not None
    assert "does not end at the commit" in again.remarks[0]["body"]


def test_a_slice_whose_work_is_there_already_is_checked_all_the_same(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    foundry.deliver(goal, 1, {"same.txt": "1\n"})
    foundry.deliver(goal, 2, {"same.txt": "1\n"})
    foundry.checked(goal)

    assert ["merged", "merging"] == foundry.states(goal)
    pending = Merge.objects.select_related("task").get(goal=goal, status="pending")
    assert pending.task is not None
    assert ["make test", "check two"] == [check["target"] for check in pending.task.checks]
    assert (pending.onto, goal.base) == (pending.commit, pending.task.base)
    foundry.replies = [lambda asked: verdict(asked, where="same.txt")]
    foundry.checked(goal)
    assert ["merged", "merged"] == foundry.states(goal)


def changed_nothing(foundry: Foundry, goal: Goal, number: int) -> None:
    """An agent finds that there is nothing to do, and no attempt is left."""
    task = foundry.slice(goal, number).task
    assert task is not None
    Task.objects.filter(pk=task.pk).update(max_attempts=1)
    attempts.fail(cast.fence(cast.working(cast.fresh(task))), "no_change", "The work changed nothing.")
    drain()


def test_a_slice_in_which_there_is_nothing_to_do_is_done_when_its_checks_pass_on_the_branch(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    foundry.done(goal, 1, {"both.txt": "1\n"})
    changed_nothing(foundry, goal, 2)

    assert ["merged", "merging"] == foundry.states(goal)
    foundry.replies = [lambda asked: verdict(asked, where="both.txt")]
    foundry.checked(goal)
    assert (["merged", "merged"], "complete") == (foundry.states(goal), cast.fresh(goal).status)
    assert ["one"] == [part.title for part in evidence_of(PullRequest.objects.get()).parts][:1]


def test_nothing_to_do_whose_checks_do_not_pass_comes_back(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    changed_nothing(foundry, goal, 1)
    foundry.checked(goal, "fail", output="AssertionError: nothing there")

    assert (["running"], 2) == (foundry.states(goal), foundry.slice(goal, 1).handed)
    task = foundry.slice(goal, 1).task
    assert task is not None
    assert "nothing there" in task.remarks[0]["body"]


def test_a_goal_in_which_there_was_nothing_to_do_at_all_says_so(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    changed_nothing(foundry, goal, 1)
    foundry.replies = [lambda asked: verdict(asked, where="command_succeeds make test")]
    foundry.checked(goal)

    waiting = cast.fresh(goal)
    assert ("needs_review", "No slice changed anything, so there is nothing to review.") == (
        waiting.status, waiting.reason,
    )  # fmt: skip


def test_what_has_to_pass_in_the_end_is_checked_after_the_last_slice_and_on_the_pull_request(
    foundry: Foundry,
) -> None:
    lint = {**TESTS, "target": "make lint"}
    goal = foundry.begun(piece("one"), piece("two"), checks=[TESTS], final_checks=[lint])
    asked = []
    for number in (1, 2):
        foundry.deliver(goal, number, {f"{number}.txt": "1\n"})
        task = Merge.objects.select_related("task").get(goal=goal, status="pending").task
        assert task is not None
        asked.append([check["target"] for check in task.checks])
        if number == 2:
            foundry.replies = [lambda question: verdict(question, where="2.txt")]
        foundry.checked(goal)

    assert [["make test", "check one"], ["make test", "check two", "make lint"]] == asked
    assert "make lint" in [check["target"] for check in PullRequest.objects.get().checks]


def test_checks_of_merged_trees_have_the_time_that_they_may_take(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), checks=[{**TESTS, "timeout_seconds": 3_000.0}])
    foundry.deliver(goal, 1, {"one.txt": "1\n"})

    task = Task.objects.get(work=Work.VERIFICATION)
    assert 300 + 3_000 + 120 == task.timeout_seconds


def test_the_same_tests_are_run_once_whatever_they_are_called(foundry: Foundry) -> None:
    auto = {"type": "tests_pass", "target": "auto", "description": "", "timeout_seconds": 60.0}
    goal = foundry.begun(piece("one", checks=[{"type": "tests_pass", "target": "auto"}]), checks=[auto])
    foundry.deliver(goal, 1, {"one.txt": "1\n"})

    assert [auto] == Task.objects.get(work=Work.VERIFICATION).checks


def test_merging_the_pull_request_lands_the_goal_and_closing_it_rejects_it(foundry: Foundry) -> None:
    ann = User.objects.create_user("ann", "ann@example.invalid", is_staff=True)
    for number, title in enumerate(("First", "Second")):
        goal = foundry.begun(piece("one"), title=title)
        foundry.replies = [lambda asked: verdict(asked, where="same.txt")]
        foundry.done(goal, 1, {"same.txt": f"{number}\n"})
        pull = PullRequest.objects.get(goal=goal.pk)
        foundry.workshop.verify(pull)
        if number == 0:
            merging.merge(pull, ann)
        else:
            forge.close(pull, ann)
        drain()

    first, second = Goal.objects.order_by("pk")
    assert (first.landed_at is not None, first.rejected_at) == (True, None)
    assert (second.landed_at, second.rejected_at is not None) == (None, True)
    assert "0" == foundry.workshop.shown("same.txt")


def test_a_conflict_sends_the_work_back_with_the_files_and_the_earlier_change(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    foundry.deliver(goal, 1, {"README": "ONE\ntwo\nthree\n"})
    foundry.deliver(goal, 2, {"README": "EINS\ntwo\nthree\n"})
    foundry.checked(goal)

    assert ["merged", "running"] == foundry.states(goal)
    again = foundry.slice(goal, 2)
    assert (1, 2) == (again.tries, again.handed)
    assert again.task is not None
    said = "\n".join(remark["body"] for remark in again.task.remarks)
    assert "- README" in said
    assert "+EINS" in said
    foundry.done(goal, 2, {"README": "ONE EINS\ntwo\nthree\n"})
    assert ["merged", "merged"] == foundry.states(goal)


def test_git_is_never_asked_while_the_goal_is_locked(foundry: Foundry, monkeypatch: pytest.MonkeyPatch) -> None:
    real, deep = subprocess.Popen, set[str]()

    def counted(args: Any, *more: Any, **options: Any) -> Any:
        if connection.savepoint_ids:
            deep.add(" ".join(args))
        return real(args, *more, **options)

    goal = foundry.begun(piece("one"))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})
    monkeypatch.setattr(subprocess, "Popen", counted)
    foundry.checked(goal, "fail")

    assert ["running"] == foundry.states(goal)
    assert set() == deep


def test_a_red_merge_sends_the_work_back_with_the_failing_output(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})

    foundry.checked(goal, "fail", output="AssertionError: one")

    assert ["running"] == foundry.states(goal)
    task = foundry.slice(goal, 1).task
    assert task is not None
    assert "AssertionError: one" in task.remarks[0]["body"]
    assert "1\n" != foundry.shown(goal, "one.txt")


def test_work_that_keeps_coming_back_waits_for_a_person_with_everything_kept(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    for number in range(4):
        foundry.deliver(goal, 1, {"one.txt": f"{number}\n"})
        foundry.checked(goal, "fail")

    waiting = cast.fresh(goal)
    assert "needs_review" == waiting.status
    assert "Slice 1" in waiting.reason
    assert 4 == Merge.objects.filter(goal=goal, status="red").count()
    assert [] == foundry.open_tasks(goal)


def test_let_go_on_after_it_came_back_too_often_a_slice_is_told_what_was_wrong_with_it(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    for number in range(4):
        foundry.deliver(goal, 1, {"one.txt": f"{number}\n"})
        foundry.checked(goal, "fail", output="AssertionError: one")

    actions.go_on(goal, by="ann")
    drain()

    task = foundry.slice(goal, 1).task
    assert task is not None
    assert "AssertionError: one" in task.remarks[0]["body"]
    tasks.expire(task, "Its time was up.")
    drain()
    actions.go_on(goal, by="ann")
    drain()
    task = foundry.slice(goal, 1).task
    assert task is not None
    assert ("queued", 6) == (task.status, foundry.slice(goal, 1).handed)
    assert "AssertionError: one" in task.remarks[0]["body"]


def test_what_was_done_while_a_goal_waited_for_a_person_is_not_done_again(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    one = foundry.slice(goal, 1).task
    assert one is not None
    tasks.expire(one, "Its time was up.")
    drain()
    tasks.revive(cast.fresh(one), by="ann")
    foundry.workshop.deliver(cast.fresh(one), {"one.txt": "1\n"})  # before anybody heard of the revival
    drain()
    assert "needs_review" == cast.fresh(goal).status

    actions.go_on(goal, by="ann")
    drain()

    assert ["merging"] == foundry.states(goal)
    assert (one.pk, 1) == (foundry.slice(goal, 1).task_id, foundry.slice(goal, 1).handed)


def test_a_slice_in_the_dead_letter_stops_the_goal_and_its_revival_lets_it_go_on(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    one = foundry.slice(goal, 1).task
    assert one is not None
    tasks.expire(one, "Its time was up.")
    drain()
    assert "executing" == cast.fresh(goal).status

    foundry.done(goal, 2, {"two.txt": "2\n"})
    assert "needs_review" == cast.fresh(goal).status
    tasks.revive(cast.fresh(one), by="ann")
    drain()

    assert "executing" == cast.fresh(goal).status
    assert ["running", "merged"] == foundry.states(goal)


def test_a_task_that_is_revived_when_its_goal_has_ended_is_not_done(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    one = foundry.slice(goal, 1).task
    assert one is not None
    tasks.expire(one, "Its time was up.")
    drain()
    actions.cancel(goal, by="ann")
    tasks.revive(cast.fresh(one), by="ann")
    drain()

    assert "cancelled" == cast.fresh(one).status


def test_what_git_cannot_do_is_said_on_the_goal_and_tried_again(
    foundry: Foundry, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = foundry.begun(piece("one"))
    with monkeypatch.context() as broken:
        broken.setattr("apps.repos.merge.candidate", Mock(side_effect=GitFailed("merge-tree", 128, "fatal: disk full")))
        foundry.deliver(goal, 1, {"one.txt": "1\n"})
    assert ("executing", "git merge-tree: fatal: disk full") == (cast.fresh(goal).status, cast.fresh(goal).hold)

    jobs.sweep()
    drain()

    assert (["merging"], "") == (foundry.states(goal), cast.fresh(goal).hold)


def test_when_the_default_branch_moves_the_goals_branch_follows_before_it_is_judged(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    shop = foundry.workshop
    run_git(shop.tree, "checkout", "-q", "--detach", "main")
    shop.write({"elsewhere.txt": "new\n"})
    run_git(shop.tree, "commit", "-q", "-m", "Elsewhere")
    commit = run_git(shop.tree, "rev-parse", "HEAD")
    run_git(shop.tree, "push", "-q", "--receive-pack=git -c core.hooksPath=/dev/null receive-pack", str(shop.mirror),
            "HEAD:refs/heads/main")  # fmt: skip
    foundry.done(goal, 1, {"one.txt": "1\n"})

    assert "executing" == cast.fresh(goal).status
    pending = Merge.objects.get(goal=goal, status="pending")
    assert (None, commit) == (pending.slice, pending.head)
    foundry.replies = [lambda asked: verdict(asked, where="one.txt")]
    foundry.checked(goal)

    assert "complete" == cast.fresh(goal).status
    assert ("new\n", "1\n") == (foundry.shown(goal, "elsewhere.txt"), foundry.shown(goal, "one.txt"))


def test_a_default_branch_that_does_not_merge_becomes_a_slice_of_its_own(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    shop = foundry.workshop
    run_git(shop.tree, "checkout", "-q", "--detach", "main")
    shop.write({"README": "EINS\ntwo\nthree\n"})
    run_git(shop.tree, "commit", "-q", "-m", "Elsewhere")
    run_git(shop.tree, "push", "-q", "--receive-pack=git -c core.hooksPath=/dev/null receive-pack", str(shop.mirror),
            "HEAD:refs/heads/main")  # fmt: skip
    foundry.done(goal, 1, {"README": "ONE\ntwo\nthree\n"})

    assert ["merged", "running"] == foundry.states(goal)
    following = foundry.slice(goal, 2)
    assert following.catches_up
    assert following.task is not None
    assert "+EINS" not in following.description  # which is ours; what others wrote is quoted as data
    assert "+EINS" in "".join(remark["body"] for remark in following.task.remarks)
    foundry.done(goal, 2, {"README": "EINS\ntwo\nthree\n", "one.txt": "ONE\n"})
    foundry.replies = [lambda asked: verdict(asked, where="one.txt")]
    foundry.checked(goal)

    assert "complete" == cast.fresh(goal).status


def elsewhere(foundry: Foundry, number: int) -> None:
    """Somebody's commit on the default branch."""
    shop = foundry.workshop
    run_git(shop.tree, "fetch", "-q", str(shop.mirror), "main")
    run_git(shop.tree, "checkout", "-q", "--detach", "FETCH_HEAD")
    shop.write({"elsewhere.txt": f"{number}\n"})
    run_git(shop.tree, "commit", "-q", "-m", "Elsewhere")
    run_git(shop.tree, "push", "-q", "--receive-pack=git -c core.hooksPath=/dev/null receive-pack", str(shop.mirror),
            "HEAD:refs/heads/main")  # fmt: skip


def test_a_default_branch_that_never_rests_is_followed_only_so_often(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    elsewhere(foundry, 0)
    foundry.done(goal, 1, {"one.txt": "1\n"})
    foundry.replies = [lambda asked: verdict(asked, where="one.txt")]
    for number in range(1, 9):
        if cast.fresh(goal).status != "executing":
            break
        elsewhere(foundry, number)
        foundry.checked(goal)

    assert "complete" == cast.fresh(goal).status
    assert 5 == Merge.objects.filter(goal=goal, slice=None, status="landed").count()


def test_a_broken_default_branch_that_never_rests_is_tried_only_so_often(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    elsewhere(foundry, 0)
    foundry.done(goal, 1, {"one.txt": "1\n"})
    for number in range(1, 9):
        if not Merge.objects.filter(goal=goal, status="pending").exists():
            break
        elsewhere(foundry, number)
        foundry.checked(goal, "fail")

    assert ["merged", "running"] == foundry.states(goal)
    assert 3 == Merge.objects.filter(goal=goal, slice=None, status="red").count()


def test_while_the_gate_is_closed_nothing_is_handed_in_and_afterwards_it_goes_on(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two", after=[1]))
    gate.close(by="ann")
    foundry.deliver(goal, 1, {"one.txt": "1\n"})
    assert ["done", "waiting"] == foundry.states(goal)

    gate.open_(by="ann")
    jobs.sweep()
    drain()

    assert ["merging", "waiting"] == foundry.states(goal)


def test_a_goal_is_cancelled_also_when_one_of_its_tasks_ends_in_that_moment(
    foundry: Foundry, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    real, racing = tasks.cancel, iter([True])

    def late(task: Task, **said: str) -> None:
        if next(racing, False):
            tasks.expire(cast.fresh(task), "Its time was up.")
        real(task, **said)

    monkeypatch.setattr(tasks, "cancel", late)
    actions.cancel(goal, by="ann")

    assert "cancelled" == cast.fresh(goal).status
    assert [] == foundry.open_tasks(goal)


def test_cancelling_stops_the_tasks_and_leaves_the_record(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two"))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})

    actions.cancel(goal, by="ann", reason="Not needed.")
    drain()

    assert ("cancelled", "Not needed.") == (cast.fresh(goal).status, cast.fresh(goal).reason)
    assert [] == foundry.open_tasks(goal)
    assert ["stale"] == list(Merge.objects.values_list("status", flat=True))
    assert "" == run_git(foundry.workshop.mirror, "for-each-ref", f"refs/agentcom/goal/{goal.pk}/")


def test_a_merge_that_nobody_could_check_is_tried_anew_and_the_work_is_not_done_again(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})
    for _ in range(2):
        pending = Merge.objects.select_related("task").get(goal=goal, status="pending")
        assert pending.task is not None
        tasks.cancel(pending.task, by="ann")
        drain()
        assert ["merging"] == foundry.states(goal)

    foundry.checked(goal)

    assert (["merged"], 1) == (foundry.states(goal), foundry.slice(goal, 1).handed)
    assert ["stale", "stale", "landed"] == list(goal.merges.values_list("status", flat=True))


def test_what_can_never_be_checked_comes_back_in_the_end(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"))
    foundry.deliver(goal, 1, {"one.txt": "1\n"})
    for _ in range(3):
        pending = Merge.objects.select_related("task").get(goal=goal, status="pending")
        assert pending.task is not None
        tasks.cancel(pending.task, by="ann")
        drain()

    assert ["running"] == foundry.states(goal)
    assert ["stale", "stale", "red"] == list(goal.merges.values_list("status", flat=True))


def test_in_a_paused_repository_a_goal_waits_and_says_so(foundry: Foundry) -> None:
    goal = foundry.begun(piece("one"), piece("two", after=[1]))
    Repo.objects.update(paused=True)
    jobs.sweep()
    drain()
    assert "sample is paused." == cast.fresh(goal).hold

    Repo.objects.update(paused=False)
    foundry.done(goal, 1, {"one.txt": "1\n"})

    assert ["merged", "running"] == foundry.states(goal)
    assert "" == cast.fresh(goal).hold
