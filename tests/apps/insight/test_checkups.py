"""Checkups on a real mirror: each head once, by agents that really report, and a broken one as one goal for a fault."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from agentcom.schedules import SCHEDULES
from apps.brain import actions as brain
from apps.events.models import Event
from apps.forge import merging
from apps.goals import gate, own
from apps.goals.actions import Wanted
from apps.goals.models import Goal
from apps.insight import checkups, fixing, jobs
from apps.insight.lifecycle import CheckupStatus
from apps.insight.models import Checkup
from apps.ops import health
from apps.repos import actions as repos
from apps.repos import mirror
from apps.repos.models import Repo
from apps.tasks import actions as tasks
from apps.tasks.models import Task, Work
from tests import cast, rest
from tests.apps.forge.workshop import CHECK, Workshop, drain
from tests.apps.insight.examining import LINT, push, report
from tests.apps.insight.test_markers import WHOLE


@pytest.fixture
def checked(workshop: Workshop) -> Workshop:
    """Its default branch is well when `make test` and `make lint` pass, and is being looked at."""
    repos.change(workshop.repo, by="tests", checks=[CHECK, LINT])
    drain()
    return workshop


def newest() -> Checkup:
    return Checkup.objects.latest("pk")


def cancel_task(checkup: Checkup) -> None:
    assert checkup.task is not None
    tasks.cancel(checkup.task, by="tests")
    drain()


def test_a_head_is_looked_at_once_and_its_checks_are_work_for_an_agent(checked: Workshop) -> None:
    assert [0, 0] == [jobs.look_at_repos(), jobs.look_at_repos()]
    checkup = Checkup.objects.get()
    task = Task.objects.get(work=Work.VERIFICATION)

    assert (checked.main(), CheckupStatus.PENDING, task) == (checkup.commit, checkup.status, checkup.task)
    assert (checked.main(), [CHECK, LINT], {"checkup": checkup.pk}) == (task.commit, task.checks, task.metadata)


def test_without_checks_only_marks_are_looked_for(workshop: Workshop) -> None:
    jobs.look_at_repos()
    jobs.look_at_repos()

    assert [CheckupStatus.PASSED] == [row.status for row in Checkup.objects.all()]
    assert not Task.objects.exists()


def test_a_green_head_is_well_and_nothing_follows(checked: Workshop) -> None:
    assert CheckupStatus.PASSED == report(checked).status
    assert 0 == jobs.look_at_repos()
    assert (0, 1) == (Goal.objects.count(), Checkup.objects.count())


def test_a_red_head_becomes_one_goal_for_each_fault_however_often_it_is_looked_at(checked: Workshop) -> None:
    red = report(checked, "make test", "make lint")

    assert CheckupStatus.FAILED == red.status
    assert [2, 0, 0] == [jobs.look_at_repos() for _ in range(3)]
    titles = [goal.title for goal in Goal.objects.order_by("pk")]
    assert [f"fix: command_succeeds {target} passes on main again" for target in ("make test", "make lint")] == titles


def test_the_goal_says_what_is_known_and_is_for_the_real_repository(checked: Workshop) -> None:
    green = report(checked)
    push(checked)
    jobs.look_at_repos()
    red = report(checked, "make test")
    jobs.look_at_repos()
    goal = Goal.objects.get()

    assert (checked.repo, "healing") == (goal.repo, goal.source)
    assert f"broken-main:sample:{red.faults[0]['key']}" == goal.fingerprint
    for known in ("    make test: no", f"since it was last well, at {green.commit[:12]}", f"    {red.commit[:12]} "):
        assert known in goal.description
    assert goal.pk == cast.fresh(red).faults[0]["goal"]


def test_the_same_fault_at_the_next_commit_is_the_same_goal(checked: Workshop) -> None:
    report(checked, "make test")
    assert 1 == jobs.look_at_repos()
    push(checked)
    jobs.look_at_repos()
    report(checked, "make test")

    assert 0 == jobs.look_at_repos()
    assert Goal.objects.get().pk == newest().faults[0]["goal"]


def test_a_head_that_is_green_again_is_well(checked: Workshop) -> None:
    report(checked, "make test")
    push(checked)
    assert 1 == jobs.look_at_repos()
    report(checked)

    assert [] == fixing.broken()
    assert 0 == jobs.look_at_repos()


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """What is handed in for faults."""
    found: list[Wanted] = []
    real = own.submit_own

    def submit(one: Wanted, **more: Any) -> Goal:
        found.append(one)
        return real(one, **more)

    monkeypatch.setattr(fixing, "submit_own", submit)
    return found


def test_a_fix_demands_its_own_check_at_the_end_and_after_each_slice_what_passed(
    checked: Workshop, wanted: list[Wanted]
) -> None:
    types = {**CHECK, "target": "make types"}
    repos.change(checked.repo, by="tests", checks=[CHECK, LINT, types])
    report(checked)
    report(checked, "make test", "make lint")
    assert 2 == jobs.look_at_repos()

    assert [([types], [CHECK]), ([types], [LINT])] == [(one.checks, one.final_checks) for one in wanted]


def test_marks_of_a_merge_demand_every_check_but_only_at_the_end(checked: Workshop, wanted: list[Wanted]) -> None:
    report(checked)
    push(checked, {"a.py": WHOLE, "b.py": WHOLE})
    jobs.look_at_repos()

    assert [([], [CHECK, LINT])] == [(one.checks, one.final_checks) for one in wanted]


def test_marks_of_a_merge_are_one_goal_and_no_agent_is_asked(checked: Workshop) -> None:
    report(checked)
    push(checked, {"a.py": WHOLE, "b.py": f"\n{WHOLE}"})

    assert [1, 0] == [jobs.look_at_repos(), jobs.look_at_repos()]
    assert not Task.objects.filter(work=Work.VERIFICATION, commit=checked.main()).exists()
    goal = Goal.objects.get()
    assert "- a.py, line 1\n- b.py, line 2" in goal.description
    assert ["a.py", "b.py"] == [hint["path"] for hint in goal.file_hints]


@pytest.mark.parametrize("facts", [{"tree": "0" * 40}, {"status": "error"}])
def test_a_report_of_something_else_or_of_checks_that_could_not_run_says_nothing(checked: Workshop, facts: Any) -> None:
    assert CheckupStatus.ERROR == report(checked, "make test", **facts).status
    assert [] == fixing.broken()


def test_a_check_that_ran_out_of_time_did_not_pass(checked: Workshop) -> None:
    assert CheckupStatus.FAILED == report(checked, "make test", status="timeout").status


def ago(**length: float) -> None:
    """As if every checkup had ended so much earlier."""
    for row in Checkup.objects.exclude(ended_at=None):
        assert row.ended_at is not None
        Checkup.objects.filter(pk=row.pk).update(ended_at=row.ended_at - timedelta(**length))


def test_what_nobody_could_say_is_looked_at_again_later_and_later(checked: Workshop) -> None:
    waits = []
    for _ in range(4):
        report(checked, "make test", status="error")
        waits.append(0)
        while not Checkup.objects.filter(status="pending").exists():
            ago(minutes=10)
            waits[-1] += 10
            jobs.look_at_repos()

    assert [10, 20, 40, 80] == waits
    assert timedelta(days=1) == checkups.wait(9) == checkups.wait(10_000)


def test_a_head_that_nobody_can_judge_is_not_examined_again_at_once(checked: Workshop) -> None:
    report(checked, "make test", status="error")
    jobs.head_moved(checked.repo.pk)
    jobs.look_at_repos()

    assert [CheckupStatus.ERROR] == [row.status for row in Checkup.objects.all()]


def test_another_head_or_other_checks_wait_for_nothing(checked: Workshop) -> None:
    report(checked, "make test", status="error")
    head = push(checked)
    jobs.head_moved(checked.repo.pk)
    assert (head, CheckupStatus.PENDING) == (newest().commit, newest().status)
    report(checked, "make test", status="error")
    repos.change(checked.repo, by="tests", checks=[LINT])
    drain()

    assert (3, CheckupStatus.PENDING) == (Checkup.objects.count(), newest().status)


def test_a_pause_takes_back_what_no_agent_has_begun_and_it_is_looked_at_when_the_hub_goes_on(checked: Workshop) -> None:
    brain.pause(by="ada")
    drain()
    taken = newest()
    assert (CheckupStatus.ERROR, "The hub is paused.") == (taken.status, taken.note)
    assert taken.task is not None
    assert ("cancelled", 1) == (cast.status_of(taken.task), Checkup.objects.count())
    assert health.report().healthy

    brain.resume(by="ada")
    jobs.look_at_repos()

    assert (checked.main(), CheckupStatus.PENDING) == (newest().commit, newest().status)


def test_a_pause_leaves_checks_that_an_agent_runs(checked: Workshop) -> None:
    task = newest().task
    assert task is not None
    attempt = cast.working(task)
    brain.pause(by="ada")

    assert (CheckupStatus.PENDING, "open") == (newest().status, cast.outcome_of(attempt))


def test_a_pause_in_the_middle_of_a_look_ends_it(checked: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    report(checked, "make test")
    looked: list[str] = []

    def look(repo: Repo) -> None:
        looked.append(repo.slug)
        gate.close(by="ada")

    monkeypatch.setattr(checkups, "begin", look)
    cast.repo()

    assert (0, 1) == (jobs.look_at_repos(), len(looked))
    assert not Goal.objects.exists()


def test_a_fault_that_comes_while_the_hub_is_paused_has_its_goal_when_it_goes_on(checked: Workshop) -> None:
    red = report(checked, "make test")
    gate.close(by="ada")
    fixing.mend(red, red.faults[0])
    gate.open_(by="ada")

    assert 1 == jobs.look_at_repos()


def test_the_health_report_says_what_nobody_can_judge_until_somebody_can(checked: Workshop) -> None:
    report(checked, "make test", status="error")
    (issue,) = health.report().issues
    assert ("repos", "warning", "") == (issue.category, issue.severity, issue.remedy)
    assert f"main of sample cannot be examined: {newest().note}" == issue.detail
    assert newest().note
    push(checked)
    jobs.look_at_repos()
    report(checked)

    assert health.report().healthy


def test_a_report_that_comes_twice_ends_it_once(checked: Workshop) -> None:
    done = report(checked)
    assert done.task is not None
    jobs.take_result(done.task.pk)
    jobs.take_failure(done.task.pk)

    kinds = Event.objects.filter(subject=f"checkup/{done.pk}").values_list("kind", flat=True)
    assert ["checkup.begun", "checkup.passed"] == list(kinds)


def test_a_merge_has_the_new_head_looked_at(checked: Workshop, ann: User) -> None:
    report(checked)
    pull = checked.verified({"README": "one\n2\nthree\n"})
    merging.merge(pull, ann)
    drain()

    assert (checked.main(), CheckupStatus.PENDING) == (newest().commit, newest().status)


def test_a_push_upstream_has_the_new_head_looked_at(workshop_upstream: Workshop) -> None:
    jobs.look_at_repos()
    head = workshop_upstream.commit_upstream({"README": "two\n"})
    repos.sync(workshop_upstream.repo)
    drain()

    assert (head, CheckupStatus.PASSED) == (newest().commit, newest().status)


def test_a_head_that_moves_while_another_is_looked_at_has_its_turn_after_it(checked: Workshop) -> None:
    head = push(checked)
    jobs.head_moved(checked.repo.pk)
    assert 1 == Checkup.objects.count()
    report(checked)

    assert (head, CheckupStatus.PENDING) == (newest().commit, newest().status)


def test_a_head_that_moves_while_nobody_can_look_at_another_has_its_turn_after_it(checked: Workshop) -> None:
    head = push(checked)
    cancel_task(newest())

    assert (head, CheckupStatus.PENDING) == (newest().commit, newest().status)


def test_a_repository_that_is_paused_no_more_is_looked_at(checked: Workshop) -> None:
    report(checked)
    repos.pause(checked.repo, by="ada")
    head = push(checked)
    drain()
    assert 1 == Checkup.objects.count()
    repos.resume(checked.repo, by="ada")
    drain()

    assert (head, CheckupStatus.PENDING) == (newest().commit, newest().status)


def test_a_head_that_came_while_the_hub_was_paused_is_looked_at_when_it_goes_on(checked: Workshop) -> None:
    report(checked)
    brain.pause(by="ada")
    head = push(checked)
    jobs.head_moved(checked.repo.pk)
    drain()
    brain.resume(by="ada")
    drain()

    assert (head, CheckupStatus.PENDING) == (newest().commit, newest().status)


def test_the_clock_has_every_head_looked_at_that_nobody_has_looked_at_and_makes_no_goals(checked: Workshop) -> None:
    report(checked, "make test")
    gate.close(by="ada")
    push(checked)
    jobs.look_at_heads()
    assert 1 == Checkup.objects.count()
    gate.open_(by="ada")
    jobs.look_at_heads()

    assert (checked.main(), CheckupStatus.PENDING) == (newest().commit, newest().status)
    assert not Goal.objects.exists()
    assert "apps.insight.jobs.look_at_heads" in [every.job for every in SCHEDULES]


def test_other_checks_are_another_question(checked: Workshop) -> None:
    report(checked)
    repos.change(checked.repo, by="tests", checks=[LINT])
    drain()

    assert (2, CheckupStatus.PENDING) == (Checkup.objects.count(), newest().status)


def test_nothing_is_begun_in_a_paused_repository_or_while_the_gate_is_shut(checked: Workshop) -> None:
    report(checked)
    push(checked, {"a.py": WHOLE})
    gate.close(by="ada")
    jobs.head_moved(checked.repo.pk)
    assert 0 == jobs.look_at_repos()
    gate.open_(by="ada")
    repos.pause(checked.repo, by="ada")
    jobs.head_moved(checked.repo.pk)

    assert 0 == jobs.look_at_repos()
    assert not Checkup.objects.filter(commit=checked.main()).exists()


def test_a_repository_that_cannot_be_read_holds_up_no_other(workshop: Workshop) -> None:
    cast.repo("nothing-on-disk")
    broken = cast.repo("a-broken-one")
    mirror.create(broken.mirror, None)
    (broken.mirror / "refs/heads/main").write_text("1" * 40 + "\n")
    jobs.look_at_repos()

    assert [workshop.repo.pk] == list(Checkup.objects.values_list("repo", flat=True))


def test_who_submits_a_task_cannot_pass_it_off_as_a_checkup(db: None) -> None:
    answer = rest.integration("tasks:write").post("/api/tasks", {"title": "x", "metadata": {"checkup": 1}})

    assert 400 == answer.status_code


def test_the_last_word_on_a_repository_is_kept_however_old(checked: Workshop) -> None:
    report(checked)
    push(checked)
    jobs.look_at_repos()
    report(checked, "make test")
    Checkup.objects.update(ended_at=timezone.now() - timedelta(days=400))
    jobs.prune()

    assert [CheckupStatus.FAILED] == [row.status for row in Checkup.objects.all()]


def test_two_who_begin_at_once_begin_one(checked: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkups, "unexamined", lambda _: checked.main())

    assert checkups.begin(checked.repo) is None
    assert 1 == Checkup.objects.count()
