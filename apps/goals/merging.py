"""A slice's work, or the default branch, comes into the goal's branch: tried, checked on the merged tree, then moved.

Git first, movable by one compare-and-swap, then the database. The candidate is kept under a ref of its own, so that
after a crash at any point the next look finds what is true. Nothing here ever touches the default branch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Refused, Stale
from apps.forge import plain
from apps.forge.serial import alone
from apps.forge.verification import HUB, shortcoming
from apps.goals.actions import watchers
from apps.goals.lifecycle import GoalStatus, MergeStatus
from apps.goals.models import Goal, Merge, Slice
from apps.repos import merge as git_merge
from apps.repos import mirror, trusted
from apps.repos.checks import seconds_for
from apps.repos.diff import Unrelated
from apps.repos.merge import AlreadyMerged, Conflict, Identity, Merged, NothingToMerge, PatchMissing
from apps.repos.trusted import git
from apps.tasks import actions as tasks
from apps.tasks.actions import OURS, Submission
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.models import Attempt, Lane, Task, Work
from apps.tasks.verdict import NO_CHANGE

PATIENCE = 60.0
REFS = "refs/agentcom/goal"
MAX_ATTEMPTS = 2
UNCHECKED = "No agent could run the checks"
MOST_UNCHECKED = 2
"""So often a merge is tried anew that no agent could check."""


class WrongHead(Refused):
    """The branch {branch} does not end at the commit that was reported, so there is nothing to trust."""


@dataclass(frozen=True)
class Incoming:
    """What is to come in: a commit, whose work it is, and the slice that it belongs to, if it is one's."""

    commit: str
    by: Identity
    subject: str
    slice: Slice | None = None
    attempt: Attempt | None = None


def of_slice(one: Slice) -> Incoming:
    """The work that a slice's task ended with; the branch itself where there was nothing to do.

    Raises WrongHead when there is none.
    """
    ended = Q(outcome=Outcome.SUCCEEDED) | Q(outcome=Outcome.FAILED, error_code=NO_CHANGE)
    attempts = Attempt.objects.filter(ended, task=one.task_id).select_related("agent")
    attempt = attempts.order_by("-pk").first()
    if attempt is not None and attempt.error_code == NO_CHANGE:
        commit = mirror.head(one.goal.repo.mirror, one.goal.branch) or ""
    else:
        commit = str(attempt.result.get("commit", "")) if attempt is not None else ""
    if attempt is None or not commit:
        raise WrongHead("wrong_head", branch="")
    by = Identity(attempt.agent.name, f"{attempt.agent.name}@agentcom.invalid")
    return Incoming(commit, by, f"Slice {one.number}: {one.title}", one, attempt)


def of_default(goal: Goal) -> Incoming:
    """The default branch as it is now."""
    branch = goal.repo.default_branch
    commit = mirror.head(goal.repo.mirror, branch)
    if commit is None:
        raise git_merge.BranchMissing("branch_missing", branch=branch)
    return Incoming(commit, HUB, f"Follow {branch}")


def begin(goal: Goal, incoming: Incoming) -> None:
    """Make the merged tree and have the checks repeated on it; what does not merge is remembered as such.

    Raises Stale when the goal moved or another merge is pending, and Busy.
    """
    path = goal.repo.mirror
    with alone(goal.repo, patience=PATIENCE):
        onto = mirror.head(path, goal.branch)
        if onto is None:
            raise git_merge.BranchMissing("branch_missing", branch=goal.branch)
        try:
            made = _prepare(goal, incoming, onto)
        except (AlreadyMerged, NothingToMerge) as already:
            if incoming.slice is None:
                _nothing_to_do(goal, incoming, onto, already.message)
                return
            # Nothing to bring in proves nothing: the slice's checks have to pass on the branch as it is.
            made = Merged(goal.branch, commit=onto, onto=onto, head=incoming.commit, tree=mirror.tree_of(path, onto))
        except Conflict as conflict:
            files = [plain.visible(name) for name in conflict.files][:200]
            _refused(goal, incoming, onto, conflict.message, status=MergeStatus.CONFLICT, files=files)
            return
        except (WrongHead, PatchMissing, Unrelated) as refused:
            _refused(goal, incoming, onto, refused.message, status=MergeStatus.RED)
            return
        git(path, "update-ref", _ref(goal, made.commit), made.commit)
    _have_checked(goal, incoming, made)


def _prepare(goal: Goal, incoming: Incoming, onto: str) -> Merged:
    path, attempt = goal.repo.mirror, incoming.attempt
    pushed = attempt is not None and attempt.error_code != NO_CHANGE
    if attempt is not None and pushed and mirror.head(path, attempt.branch) != incoming.commit:
        raise WrongHead("wrong_head", branch=attempt.branch)
    # To follow the default branch is to hold its commits, also when its changes are all there already.
    return git_merge.prepare(
        path, goal.branch, incoming.commit, method="merge", message=_message(goal, incoming), author=incoming.by,
        committer=HUB, onto=onto, even_empty=incoming.slice is None,
    )  # fmt: skip


def _message(goal: Goal, incoming: Incoming) -> str:
    subject = plain.inert(plain.one_line(incoming.subject, 160))
    trailers = [f"AgentCom-Goal: {goal.pk}"]
    if incoming.slice is not None and incoming.attempt is not None:
        trailers += [f"AgentCom-Task: {incoming.slice.task_id}", f"AgentCom-Agent: {incoming.attempt.agent.name}"]
    return f"{subject}\n\n" + "\n".join(trailers)


def _ref(goal: Goal, commit: str) -> str:
    """Keeps a candidate from being pruned, and lets agents fetch it."""
    return f"{REFS}/{goal.pk}/{commit[:12]}"


def forget_candidates(goal: Goal) -> None:
    """Delete the refs that keep merged trees of `goal`; those that landed stay, as a part of its branch."""
    path = goal.repo.mirror
    if mirror.exists(path):
        for ref in trusted.text(path, "for-each-ref", "--format=%(refname)", f"{REFS}/{goal.pk}/").split():
            git(path, "update-ref", "-d", ref)


@transaction.atomic
def _nothing_to_do(goal: Goal, incoming: Incoming, onto: str, note: str) -> None:
    now = _going_on(goal, incoming, onto)
    made = _row(now, incoming, onto, status=MergeStatus.LANDED, commit=onto, ended_at=Now(), note=note[:500])
    _landed(now, made)


@transaction.atomic
def _refused(goal: Goal, incoming: Incoming, onto: str, note: str, **facts: Any) -> None:
    now = _going_on(goal, incoming, onto)
    made = _row(now, incoming, onto, ended_at=Now(), note=note[:500], **facts)
    _remember_refusal(now, made)


def _have_checked(goal: Goal, incoming: Incoming, made: Merged) -> None:
    try:
        with transaction.atomic():
            now = _going_on(goal, incoming, made.onto)
            row = _row(now, incoming, made.onto, status=MergeStatus.PENDING, commit=made.commit, tree=made.tree)
            row.task = tasks.submit(_verification(now, incoming, row), by="goals")[0]
            row.save(update_fields=["task"])
    except IntegrityError as taken:
        raise Stale("merge_pending", "Another merge into this goal is pending.") from taken


def _going_on(goal: Goal, incoming: Incoming, onto: str) -> Goal:
    """The goal's row, locked; Stale when it is not being carried out any more, or another process was faster."""
    now = Goal.objects.select_for_update(of=("self",)).select_related("repo").get(pk=goal.pk)
    if now.status != GoalStatus.EXECUTING:
        raise Stale("goal_moved", f"The goal is {now.status}.")
    same = {"attempt": incoming.attempt} if incoming.attempt else {"slice": None, "head": incoming.commit, "onto": onto}
    if now.merges.filter(**same).exclude(status=MergeStatus.STALE).exists():
        raise Stale("merge_known", "Another process tried this merge already.")
    return now


def _row(goal: Goal, incoming: Incoming, onto: str, **fields: Any) -> Merge:
    return Merge.objects.create(
        goal=goal, slice=incoming.slice, attempt=incoming.attempt, head=incoming.commit, onto=onto, **fields
    )


def _verification(goal: Goal, incoming: Incoming, row: Merge) -> Submission:
    checks = checks_for(goal, incoming.slice)
    return Submission(
        title=f"Check goal {goal.pk} with {incoming.subject}"[:200],
        work=Work.VERIFICATION,
        lane=min(goal.lane, Lane.HIGH),
        repo=goal.repo,
        commit=row.commit,
        # Where nothing new came in, or what is not the goal's did, the whole of the goal is what a check may look for.
        base=row.onto if incoming.slice is not None and row.commit != row.onto else goal.base,
        checks=checks,
        avoid=incoming.attempt.agent if incoming.attempt else None,
        metadata={"goal": goal.pk, "merge": row.pk},
        goal=goal.pk,
        max_attempts=MAX_ATTEMPTS,
        timeout_seconds=seconds_for(checks),
        idempotency_key=f"{OURS}goal-{goal.pk}-merge-{row.pk}",
    )


def checks_for(goal: Goal, one: Slice | None) -> list[Mapping[str, Any]]:
    """What has to pass after this slice: its own checks and the goal's; after the default branch, every slice's too.

    After the last one, whichever that is, also what has to pass in the end.
    """
    slices = [one] if one is not None else list(goal.slices.filter(merged_at__isnull=False))
    unmerged = set(goal.slices.filter(merged_at__isnull=True).values_list("pk", flat=True))
    final = [] if unmerged - {one.pk if one is not None else 0} else goal.final_checks
    return together([goal.checks, *(each.checks for each in slices), final])


def together(lists: Sequence[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The checks of all lists, each once; one more makes a task without any: that nothing secret is in it."""
    found: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for check in (check for checks in lists for check in checks):
        target = check.get("target", "")
        same = "" if check.get("type") == "tests_pass" and target == "auto" else target
        found.setdefault((check.get("type"), same), check)
    return list(found.values()) or [{"type": "no_secrets", "target": ""}]


def take_report(task: Task) -> None:
    """The checks on a merged tree have ended: move the goal's branch to it, or send the work back. Twice is once."""
    row = Merge.objects.filter(task=task, status=MergeStatus.PENDING).select_related("goal__repo", "slice").first()
    if row is None or not task.is_final:
        return
    if task.status != TaskStatus.COMPLETED:
        _unchecked(row, f"{UNCHECKED}: {task.last_error or task.status}"[:500])
        return
    attempt = Attempt.objects.filter(task=task, outcome=Outcome.SUCCEEDED).order_by("-pk").first()
    report = attempt.reports[-1] if attempt is not None and attempt.reports else {}
    if note := shortcoming(report, task.checks, commit=row.commit, tree=row.tree):
        _refuse(row, note, report)
    else:
        _land(row, report)


def _unchecked(row: Merge, note: str) -> None:
    """The work may be good: the merge is tried anew, and only what can never be checked counts as refused."""
    before = Merge.objects.filter(attempt=row.attempt, head=row.head, status=MergeStatus.STALE, goal=row.goal)
    if before.filter(note__startswith=UNCHECKED).count() < MOST_UNCHECKED:
        with contextlib.suppress(Stale):
            set_aside(row, note)
    else:
        _refuse(row, note, {})


def _land(row: Merge, report: Mapping[str, Any]) -> None:
    goal = row.goal
    made = Merged(branch=goal.branch, commit=row.commit, onto=row.onto, head=row.head, tree=row.tree)
    with alone(goal.repo, patience=PATIENCE):
        try:
            git_merge.land(goal.repo.mirror, made)
        except git_merge.BranchMoved as moved:
            set_aside(row, moved.message)
            return
    with transaction.atomic():
        now = Goal.objects.select_for_update().get(pk=goal.pk)
        transition(
            row, MergeStatus.LANDED, Kind.MERGE_ENDED, set={"ended_at": Now(), "report": report}, tell=watchers(now),
            goal=now.pk,
        )  # fmt: skip
        _landed(now, row)


def _landed(goal: Goal, row: Merge) -> None:
    """Remember on the slice that its work is in the goal's branch."""
    if row.slice_id is not None:
        Slice.objects.filter(pk=row.slice_id, merged_at__isnull=True).update(merged_commit=row.commit, merged_at=Now())
    facts: dict[str, Any] = {"merge": row.pk, "slice": row.slice.number if row.slice else 0, "commit": row.commit}
    record(Kind.GOAL_MERGED, goal, tell=watchers(goal), **facts)


@transaction.atomic
def _refuse(row: Merge, note: str, report: Mapping[str, Any]) -> None:
    changes = {"ended_at": Now(), "note": note[:500], "report": report}
    with contextlib.suppress(Stale):
        transition(row, MergeStatus.RED, Kind.MERGE_ENDED, set=changes, tell=watchers(row.goal), goal=row.goal_id)
        _remember_refusal(row.goal, row)


@transaction.atomic
def set_aside(row: Merge, note: str) -> None:
    """Nothing came of it that says anything of the work, which is merged anew, onto where the branch is then.

    Raises Stale when the merge has ended.
    """
    changes = {"ended_at": Now(), "note": note[:500]}
    transition(row, MergeStatus.STALE, Kind.MERGE_ENDED, set=changes, tell=watchers(row.goal), goal=row.goal_id)
    record(Kind.GOAL_UNMERGED, row.goal, merge=row.pk, note=row.note)


def _remember_refusal(goal: Goal, row: Merge) -> None:
    facts: dict[str, Any] = {"merge": row.pk, "slice": row.slice.number if row.slice else 0, "note": row.note}
    record(Kind.GOAL_UNMERGED, goal, tell=watchers(goal), **facts)
