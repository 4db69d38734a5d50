"""From a completed task to a verified pull request, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from apps.events.models import Event
from apps.events.refused import Invalid, Refused, Stale
from apps.forge import actions, jobs, merging, opening, scrutiny, verification
from apps.forge.lifecycle import PullStatus, VerificationStatus
from apps.forge.models import Comment, PullRequest, Verification
from apps.forge.risk import HIGH, LOW
from apps.repos import mirror
from apps.tasks import actions as tasks
from apps.tasks import attempts
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Attempt, Task, Work
from apps.tasks.sweep import sweep
from tests import cast
from tests.apps.forge.workshop import CHECK, Workshop, drain, run_git

pytestmark = pytest.mark.django_db
CHANGE = {"README": "one\n2\nthree\n"}


def test_completed_work_becomes_a_pull_request_with_facts_from_its_objects(workshop: Workshop) -> None:
    task = workshop.task("Count in digits")
    attempt = workshop.deliver(task, CHANGE)
    drain()

    pull = PullRequest.objects.get()
    assert (task.pk, attempt.pk, "main", PullStatus.OPEN) == (
        pull.task_id, pull.attempt_id, pull.base_branch, pull.status,
    )  # fmt: skip
    assert (workshop.main(), attempt.result["commit"]) == (pull.base, pull.head)
    assert {"files": 1, "added": 1, "deleted": 1, "new_files": 0, "blocked": False} == pull.stats
    assert "verification_unknown" in [reason["code"] for reason in pull.risk_reasons]


def test_the_checks_are_repeated_by_another_agent_on_the_pushed_commit(workshop: Workshop) -> None:
    pull = workshop.opened(CHANGE)
    asked = Verification.objects.get()
    again = Task.objects.get(work=Work.VERIFICATION)

    assert (pull.head, pull.base, [CHECK]) == (again.commit, again.base, again.checks)
    assert (pull.head, pull.tree, VerificationStatus.PENDING) == (asked.commit, asked.tree, asked.status)

    done = workshop.verify(pull)

    assert VerificationStatus.PASSED == done.status
    assert done.verifier_id is not None
    assert done.verifier_id != pull.attempt.agent_id
    assert "verification_unknown" not in [reason["code"] for reason in cast.fresh(pull).risk_reasons]


def test_every_job_may_run_twice(workshop: Workshop) -> None:
    pull = workshop.opened(CHANGE)
    for _ in range(2):
        jobs.take_result(pull.task_id)
        jobs.refresh(pull.pk)
    done = workshop.verify(pull)
    jobs.take_result(done.task_id or 0)
    jobs.take_failure(done.task_id or 0)

    assert 1 == PullRequest.objects.count()
    assert [VerificationStatus.PASSED] == list(Verification.objects.values_list("status", flat=True))


def test_a_look_at_an_older_base_does_not_undo_a_newer_one(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    pull = workshop.verified(CHANGE)
    moved = run_git(workshop.mirror, "commit-tree", "-p", "main", "-m", "Other", "main^{tree}")
    look = scrutiny.look

    def slowly(*args: Any) -> scrutiny.Look:
        seen = look(*args)
        run_git(workshop.mirror, "update-ref", "refs/heads/main", moved)
        return seen

    with monkeypatch.context() as slow:
        slow.setattr(scrutiny, "look", slowly)
        with pytest.raises(Stale):
            verification.refresh(pull.pk)
    jobs.refresh(pull.pk)

    assert moved == cast.fresh(pull).base
    assert [VerificationStatus.PENDING] == [v.status for v in pull.verifications.filter(base=moved)]


def test_a_branch_that_does_not_end_at_the_reported_commit_opens_nothing(workshop: Workshop) -> None:
    task = workshop.task()
    attempt = workshop.deliver(task, CHANGE)
    run_git(workshop.mirror, "update-ref", f"refs/heads/{attempt.branch}", workshop.main())
    drain()

    assert not PullRequest.objects.exists()
    refused = Event.objects.get(subject=f"task/{task.pk}", kind="pull.refused")
    assert "wrong_head" == refused.data["code"]


def test_a_task_without_checks_gets_no_verification(workshop: Workshop) -> None:
    pull = workshop.opened(CHANGE, checks=[])

    assert not Verification.objects.exists()
    assert "not_verified" in [reason["code"] for reason in pull.risk_reasons]
    with pytest.raises(verification.NothingToCheck):
        verification.verify(pull, by="ann")


@pytest.mark.parametrize(
    ("status", "facts"),
    [("fail", {}), ("pass", {"tree": "0" * 40}), ("timeout", {})],
)
def test_a_report_that_does_not_prove_it_refutes_it(workshop: Workshop, status: str, facts: dict[str, str]) -> None:
    pull = workshop.opened(CHANGE)

    done = workshop.verify(pull, status, **facts)

    assert VerificationStatus.FAILED == done.status
    assert done.note
    assert 3 == cast.fresh(pull).risk


@pytest.mark.parametrize(("as_before", "risk"), [("", LOW), ("pass", LOW), ("fail", HIGH), ("error", HIGH)])
def test_changed_tests_are_tried_as_they_were_and_what_breaks_is_a_risk(
    workshop: Workshop, as_before: str, risk: int
) -> None:
    pull = workshop.opened({"tests/test_it.py": "assert True is True\n"}, tier="trivial")
    asked = Verification.objects.get(pull=pull).task
    assert asked is not None
    workshop.verify(pull, as_before=as_before)

    assert ["tests/test_it.py"] == asked.metadata["guard"]
    assert (risk, risk == HIGH) == (
        cast.fresh(pull).risk,
        "tests_before" in [reason["code"] for reason in cast.fresh(pull).risk_reasons],
    )


def test_a_verification_that_nobody_can_run_counts_as_failed_and_can_be_asked_for_again(workshop: Workshop) -> None:
    pull = workshop.opened(CHANGE)
    tasks.cancel(Task.objects.get(work=Work.VERIFICATION), by="ann")
    drain()

    assert VerificationStatus.FAILED == Verification.objects.get().status

    verification.verify(pull, by="ann")

    assert 2 == Verification.objects.count()
    assert VerificationStatus.PASSED == workshop.verify(pull).status


def test_a_moved_base_makes_the_evidence_stale_and_the_merge_of_both_is_verified(workshop: Workshop, ann: User) -> None:
    first, second = workshop.verified(CHANGE), workshop.verified({"new": "file\n"})
    merging.merge(first, ann)
    drain()

    stale, fresh = reversed(Verification.objects.filter(pull=second))
    assert (VerificationStatus.STALE, VerificationStatus.PENDING) == (stale.status, fresh.status)
    assert (workshop.main(), second.head) == (fresh.base, fresh.head)
    assert [fresh.base, fresh.head] == run_git(workshop.mirror, "log", "-1", "--format=%P", fresh.commit).split()
    assert fresh.commit == mirror.reference(workshop.mirror, f"refs/agentcom/candidate/{second.pk}")


def test_changes_requested_go_back_to_the_branch_with_what_was_said(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)
    actions.comment(pull, ann, "Two is better written out.", path="README")
    follow_up = actions.request_changes(pull, ann, "Please keep the words.")

    assert PullStatus.CHANGES_REQUESTED == cast.fresh(pull).status
    assert (pull.branch, pull.branch, pull.task.checks) == (follow_up.start, follow_up.branch, follow_up.checks)
    assert ["Two is better written out.", "Please keep the words."] == [one["body"] for one in follow_up.remarks]

    workshop.deliver(follow_up, {"README": "one\ntwo!\nthree\n"})
    drain()

    now = cast.fresh(pull)
    assert (1, PullStatus.OPEN) == (PullRequest.objects.count(), now.status)
    assert pull.head != now.head
    assert [VerificationStatus.PENDING, VerificationStatus.STALE] == [one.status for one in now.verifications.all()]

    workshop.verify(now)

    assert ["More."] == [one["body"] for one in actions.request_changes(cast.fresh(pull), ann, "More.").remarks]


def test_a_follow_up_that_comes_to_nothing_leaves_the_pull_request_as_it_was(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)
    follow_up = actions.request_changes(pull, ann, "Please.")
    tasks.cancel(follow_up, by="ann")
    drain()
    jobs.take_failure(follow_up.pk)

    assert (PullStatus.OPEN, pull.head) == (cast.fresh(pull).status, cast.fresh(pull).head)
    assert [actions.HUB] == list(Comment.objects.filter(author=None).values_list("author_name", flat=True))
    assert VerificationStatus.PASSED == Verification.objects.get().status


def test_a_follow_up_whose_work_is_lost_gives_the_pull_request_back(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)
    follow_up = actions.request_changes(pull, ann, "Please.")
    attempt = workshop.deliver(follow_up, {"README": "other\n"})
    run_git(workshop.mirror, "update-ref", f"refs/heads/{attempt.branch}", pull.head)
    drain()

    assert (PullStatus.OPEN, pull.head) == (cast.fresh(pull).status, cast.fresh(pull).head)


def test_a_revived_follow_up_still_updates_the_pull_request(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)
    follow_up = actions.request_changes(pull, ann, "Please.")
    for _ in range(follow_up.max_attempts):
        cast.rest(follow_up)
        sweep()
        attempts.fail(cast.fence(Attempt.objects.open().get(task=follow_up)), "command_failed", "no")
    drain()

    assert (TaskStatus.DEAD, PullStatus.OPEN) == (cast.status_of(follow_up), cast.fresh(pull).status)

    tasks.revive(cast.fresh(follow_up), by="ann")
    workshop.deliver(cast.fresh(follow_up), {"README": "late\n"})
    drain()

    assert pull.head != cast.fresh(pull).head


def test_closing_stops_what_is_going_on_for_it(workshop: Workshop, ann: User) -> None:
    pull = workshop.opened(CHANGE)
    actions.close(pull, ann, "Not wanted.")
    drain()

    assert PullStatus.CLOSED == cast.fresh(pull).status
    assert VerificationStatus.STALE == Verification.objects.get().status
    assert TaskStatus.CANCELLED == cast.status_of(Task.objects.get(work=Work.VERIFICATION))


def test_closing_ends_the_follow_up_and_its_late_work_opens_nothing_new(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)
    follow_up = actions.request_changes(pull, ann, "Please.")
    actions.close(cast.fresh(pull), ann)
    drain()

    assert TaskStatus.CANCELLED == cast.status_of(follow_up)
    assert PullStatus.CLOSED == PullRequest.objects.get().status


@pytest.mark.parametrize("verb", ["approve", "request_changes", "close"])
@pytest.mark.parametrize("who", ["nobody", "agent", "not staff", "inactive"])
def test_only_a_person_decides(workshop: Workshop, verb: str, who: str) -> None:
    pull = workshop.opened(CHANGE)
    users: dict[str, Any] = {
        "nobody": None,
        "agent": pull.attempt.agent,
        "not staff": User.objects.create_user("eve"),
        "inactive": User.objects.create_user("old", is_staff=True, is_active=False),
    }

    with pytest.raises(actions.NoPerson):
        getattr(actions, verb)(pull, users[who], "words")

    assert PullStatus.OPEN == cast.fresh(pull).status
    assert not Comment.objects.exists()


@pytest.mark.parametrize("body", ["", "  \n", "x" * 10_001])
def test_a_request_for_changes_says_what(workshop: Workshop, ann: User, body: str) -> None:
    pull = workshop.opened(CHANGE)

    with pytest.raises(Invalid):
        actions.request_changes(pull, ann, body)

    assert 2 == Task.objects.count()


def test_what_is_over_is_not_decided_again(workshop: Workshop, ann: User) -> None:
    pull = workshop.opened(CHANGE)
    actions.close(pull, ann)

    for verb in (actions.approve, actions.request_changes, actions.close):
        with pytest.raises(Refused):
            verb(cast.fresh(pull), ann, "again")
    with pytest.raises(Refused):
        verification.verify(cast.fresh(pull), by="ann")


def test_an_approval_is_kept_with_the_head_it_was_given_to(workshop: Workshop, ann: User) -> None:
    pull = workshop.opened(CHANGE)

    said = actions.approve(pull, ann)

    assert (Comment.Verdict.APPROVED, pull.head) == (said.verdict, said.head)


def test_work_without_a_repository_opens_nothing(agents: Any) -> None:
    task = cast.queued_task()
    attempts.complete(cast.fence(cast.working(task)), {}, [])

    assert opening.open_or_update(cast.fresh(task)) is None
