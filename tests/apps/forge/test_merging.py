"""Merging: what refuses it, what it makes, and what a crash in the middle leaves."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from apps.events.refused import Refused, Stale
from apps.forge import actions, jobs, landing, merging
from apps.forge.lifecycle import PullStatus, VerificationStatus
from apps.forge.merging import Unmergeable, UpstreamRefused
from apps.forge.models import PullRequest, Verification
from apps.forge.serial import Busy, alone
from apps.repos import merge as git_merge
from apps.repos import mirror
from tests import cast
from tests.apps.forge.workshop import Workshop, drain, run_git

pytestmark = pytest.mark.django_db
CHANGE = {"README": "one\n2\nthree\n"}


def test_a_merge_commit_is_by_the_person_and_says_where_it_comes_from(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE, "Count in digits", description="Fixes #12, says @ada.\n\nSigned-off-by: nobody")
    before = workshop.main()

    done = merging.merge(pull, ann)

    assert (PullStatus.MERGED, workshop.main(), ann) == (done.status, done.merged_commit, done.ended_by)
    assert f"{before} {pull.head}" == run_git(workshop.mirror, "log", "-1", "--format=%P", "main")
    assert "ann <ann@example.invalid>" == run_git(workshop.mirror, "log", "-1", "--format=%an <%ae>", "main")
    said = run_git(workshop.mirror, "log", "-1", "--format=%B", "main")
    assert said.startswith(f"Merge !{pull.pk}: Count in digits\n")
    assert "Fixes # 12, says @ ada." in said
    trailers = run_git(workshop.mirror, "log", "-1", "--format=%(trailers:only)", "main").splitlines()
    assert [
        f"AgentCom-Task: {pull.task_id}",
        f"AgentCom-Pull-Request: {pull.pk}",
        f"AgentCom-Agent: {pull.attempt.agent.name}",
        "Reviewed-by: ann <ann@example.invalid>",
    ] == trailers
    assert "one\n2\nthree" == workshop.shown("README")


def test_a_squash_keeps_the_agent_as_author_and_the_person_as_committer(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)
    before = workshop.main()

    merging.merge(pull, ann, method="squash")

    shown = run_git(workshop.mirror, "log", "-1", "--format=%P|%an|%cn|%s", "main")
    assert f"{before}|{pull.attempt.agent.name}|ann|{pull.title} (!{pull.pk})" == shown


def test_two_merge_one_after_another_and_the_second_is_proven_anew(workshop: Workshop, ann: User) -> None:
    first, second = workshop.verified(CHANGE), workshop.verified({"new": "file\n"})
    merging.merge(first, ann)

    with pytest.raises(Unmergeable) as refused:
        merging.merge(second, ann)

    assert "verification_stale" == refused.value.code
    with pytest.raises(Unmergeable) as refused:
        merging.merge(second, ann)
    assert "verification_pending" == refused.value.code

    drain()
    workshop.verify(second)
    merging.merge(second, ann)

    assert ("one\n2\nthree", "file") == (workshop.shown("README"), workshop.shown("new"))


def test_a_conflict_is_named_and_nothing_moves(workshop: Workshop, ann: User) -> None:
    first, second = workshop.verified(CHANGE), workshop.verified({"README": "one\nzwei\nthree\n"})
    merging.merge(first, ann)
    drain()
    before = workshop.main()

    assert ["README"] == cast.fresh(second).conflict
    with pytest.raises(Unmergeable) as refused:
        merging.merge(second, ann)

    assert ("conflict", before) == (refused.value.code, workshop.main())

    follow_up = actions.request_changes(second, ann, "Please redo it on main.")

    assert 1 == len(follow_up.remarks)


def _not_verified(workshop: Workshop, ann: User) -> PullRequest:
    return workshop.opened(CHANGE)


def _refuted(workshop: Workshop, ann: User) -> PullRequest:
    pull = workshop.opened(CHANGE)
    workshop.verify(pull, "fail")
    return pull


def _changes_requested(workshop: Workshop, ann: User) -> PullRequest:
    pull = workshop.verified(CHANGE)
    actions.request_changes(pull, ann, "Please.")
    return pull


def _closed(workshop: Workshop, ann: User) -> PullRequest:
    pull = workshop.verified(CHANGE)
    actions.close(pull, ann)
    return pull


def _merged(workshop: Workshop, ann: User) -> PullRequest:
    pull = workshop.verified(CHANGE)
    merging.merge(pull, ann)
    return pull


def _secret(workshop: Workshop, ann: User) -> PullRequest:
    return workshop.verified({"config": "key = ghp_" + "a1B2c3D4e5" * 4 + "\n"})


@pytest.mark.parametrize(
    ("reached", "code"),
    [
        (_not_verified, "verification_pending"),
        (_refuted, "verification_failed"),
        (_changes_requested, "not_open"),
        (_closed, "not_open"),
        (_merged, "not_open"),
        (_secret, "blocked"),
    ],
)
def test_what_must_not_be_merged_is_refused_with_its_reason(
    workshop: Workshop, ann: User, reached: Any, code: str
) -> None:
    pull = reached(workshop, ann)
    before = workshop.main()

    with pytest.raises(Unmergeable) as refused:
        merging.merge(pull, ann)

    assert code == refused.value.code
    assert refused.value.message.endswith(".")
    assert before == workshop.main()


@pytest.mark.parametrize("fields", [{"is_staff": False}, {"is_staff": True, "is_active": False}])
def test_only_a_person_merges(workshop: Workshop, fields: dict[str, Any]) -> None:
    pull = workshop.verified(CHANGE)

    with pytest.raises(actions.NoPerson):
        merging.merge(pull, User.objects.create_user("eve", **fields))


def test_work_without_checks_may_be_merged_by_a_person(workshop: Workshop, ann: User) -> None:
    pull = workshop.opened(CHANGE, checks=[])

    assert PullStatus.MERGED == merging.merge(pull, ann).status


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_a_crash_after_the_branch_moved_is_healed_by_merging_again(
    workshop: Workshop, ann: User, monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    pull = workshop.verified(CHANGE)

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(merging, "record_merged", dies)
        with pytest.raises(Killed):
            merging.merge(pull, ann, method=method)
    moved = workshop.main()

    assert (PullStatus.OPEN, moved != pull.base) == (cast.fresh(pull).status, True)

    done = merging.merge(pull, ann, method=method)

    assert (PullStatus.MERGED, moved, moved) == (done.status, done.merged_commit, workshop.main())


def test_a_crash_before_the_branch_moved_leaves_an_open_pull_request(
    workshop: Workshop, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = workshop.verified(CHANGE)

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(git_merge, "land", dies)
        with pytest.raises(Killed):
            merging.merge(pull, ann)

    assert workshop.main() == pull.base
    assert PullStatus.MERGED == merging.merge(pull, ann).status


def test_a_merge_that_nobody_wrote_down_is_found_by_the_next_look(
    workshop: Workshop, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = workshop.verified(CHANGE)
    monkeypatch.setattr(merging, "record_merged", lambda *_, **__: None)
    merging.merge(pull, ann, method="squash")

    with pytest.raises(Refused):
        actions.close(cast.fresh(pull), ann)
    jobs.refresh(pull.pk)

    assert (PullStatus.MERGED, workshop.main()) == (cast.fresh(pull).status, cast.fresh(pull).merged_commit)


def test_a_branch_that_moves_during_the_merge_is_not_overwritten(
    workshop: Workshop, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = workshop.verified(CHANGE)
    other = run_git(workshop.mirror, "commit-tree", "-p", "main", "-m", "Other", "main^{tree}")

    def moves_first(pull: PullRequest, commit: str) -> None:
        landing.remember(pull, commit)
        run_git(workshop.mirror, "update-ref", "refs/heads/main", other)

    monkeypatch.setattr(merging, "remember", moves_first)
    with pytest.raises(Stale):
        merging.merge(pull, ann)

    assert (other, PullStatus.OPEN) == (workshop.main(), cast.fresh(pull).status)


def test_one_merge_at_a_time_in_a_repository(workshop: Workshop) -> None:
    with alone(workshop.repo), pytest.raises(Busy), alone(workshop.repo, patience=0):
        pytest.fail("both hold the lock")


def test_the_upstream_gets_the_merge(workshop_upstream: Workshop, ann: User) -> None:
    workshop = workshop_upstream
    pull = workshop.verified(CHANGE)

    done = merging.merge(pull, ann)

    assert workshop.upstream is not None
    assert done.merged_commit == workshop.main() == run_git(workshop.upstream, "rev-parse", "main")


def test_what_the_upstream_refuses_is_not_merged_here(workshop_upstream: Workshop, ann: User) -> None:
    workshop = workshop_upstream
    pull = workshop.verified(CHANGE)
    before = workshop.main()
    assert workshop.upstream is not None
    hook = workshop.upstream / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected branch >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(UpstreamRefused) as refused:
        merging.merge(pull, ann)

    assert (before, PullStatus.OPEN) == (workshop.main(), cast.fresh(pull).status)
    assert refused.value.message

    hook.unlink()

    assert PullStatus.MERGED == merging.merge(pull, ann).status


def test_an_upstream_that_moved_asks_for_new_evidence(workshop_upstream: Workshop, ann: User) -> None:
    workshop = workshop_upstream
    pull = workshop.verified(CHANGE)
    elsewhere = workshop.commit_upstream({"other": "file\n"})

    with pytest.raises(Unmergeable) as refused:
        merging.merge(pull, ann)

    assert ("verification_stale", elsewhere) == (refused.value.code, workshop.main())
    newest = Verification.objects.filter(pull=pull).first()
    assert newest is not None
    assert (VerificationStatus.PENDING, elsewhere) == (newest.status, newest.base)

    workshop.verify(pull)
    merging.merge(pull, ann)

    assert mirror.is_ancestor(workshop.mirror, elsewhere, workshop.main())


def test_work_that_somebody_merged_at_the_upstream_becomes_merged(workshop_upstream: Workshop, ann: User) -> None:
    workshop = workshop_upstream
    pull = workshop.verified(CHANGE)
    run_git(workshop.mirror, "push", "-q", str(workshop.upstream), f"{pull.head}:refs/heads/main")

    done = merging.merge(pull, ann)

    assert (PullStatus.MERGED, pull.head) == (done.status, done.merged_commit)
