"""A completed task's branch becomes a pull request, or new work on the one it already has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Refused
from apps.forge import plain, scrutiny
from apps.forge.lifecycle import PullStatus
from apps.forge.models import PullRequest
from apps.forge.serial import Busy, alone
from apps.forge.staleness import outdate, watchers
from apps.repos import mirror
from apps.repos.models import Repo
from apps.tasks.complexity import Tier
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt, Task

PATIENCE = 60.0


class WrongHead(Refused):
    """The branch {branch} does not end at the commit that was reported, so there is nothing to trust."""


class PullEnded(Refused):
    """The pull request !{pull} that this follows up on is {status} already."""


def open_or_update(task: Task) -> PullRequest | None:
    """The pull request of what `task` pushed; the same one however often this runs.

    None when the result cannot be one; why is recorded with the task. Raises Busy while another is being merged.
    """
    attempt = (
        Attempt.objects.filter(task=task, outcome=Outcome.SUCCEEDED).select_related("agent").order_by("-pk").first()
    )
    if task.repo is None or attempt is None:
        return None
    try:
        with alone(task.repo, patience=PATIENCE):  # the head of a pull request must not change while it is merged
            return _take(task, task.repo, attempt)
    except Busy:
        raise
    except Refused as refused:
        _remember_refusal(task, attempt, refused)
        return None


def _take(task: Task, repo: Repo, attempt: Attempt) -> PullRequest:
    rows = PullRequest.objects.filter(repo=repo, branch=attempt.branch)
    taken = rows.filter(attempt__gte=attempt.pk).first()
    return taken or _open_or_update(task, repo, attempt, rows.filter(ended_at__isnull=True).first())


def _open_or_update(task: Task, repo: Repo, attempt: Attempt, current: PullRequest | None) -> PullRequest:
    commit = str(attempt.result.get("commit", ""))
    if not commit or mirror.head(repo.mirror, attempt.branch) != commit:
        raise WrongHead("wrong_head", branch=attempt.branch)
    if current is None and (followed := task.metadata.get("pull_request")):
        ended = PullRequest.objects.get(pk=followed)
        raise PullEnded("pull_ended", pull=ended.pk, status=ended.status)
    pull = current or _new(task, repo, attempt)
    fields = _seen(pull, commit) | {"attempt": attempt}
    return _open(pull, fields) if current is None else _update(pull, fields)


def _new(task: Task, repo: Repo, attempt: Attempt) -> PullRequest:
    return PullRequest(
        repo=repo,
        task=task,
        title=plain.one_line(task.title),
        description=task.description,
        success_criteria=task.success_criteria,
        checks=task.checks,
        file_hints=task.file_hints,
        tier=task.tier,
        branch=attempt.branch,
        base_branch=repo.default_branch,
    )


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What a goal came to: one branch that holds the work of many tasks. `attempt` is the newest of them.

    Each of `parts` is a slice as it was merged: its number, attempt, the merge's commit, how many checks there passed.
    """

    goal: int
    repo: Repo
    attempt: Attempt
    title: str
    description: str
    success_criteria: Sequence[str]
    checks: Sequence[Mapping[str, Any]]
    file_hints: Sequence[Mapping[str, Any]]
    branch: str
    parts: Sequence[Mapping[str, Any]]
    judgement: Mapping[str, Any]


def prepare_whole(whole: Whole) -> tuple[PullRequest, dict[str, Any]]:
    """A pull request that is not saved yet, and what git says of it; outside of a transaction.

    Raises what git refuses, such as AlreadyMerged for a branch that changes nothing.
    """
    pull = PullRequest(
        repo=whole.repo,
        task=whole.attempt.task,
        goal=whole.goal,
        title=plain.one_line(whole.title),
        description=whole.description,
        success_criteria=list(whole.success_criteria),
        checks=list(whole.checks),
        file_hints=list(whole.file_hints),
        tier=Tier.COMPLEX,
        branch=whole.branch,
        base_branch=whole.repo.default_branch,
        parts=[dict(part) for part in whole.parts],
        judgement=dict(whole.judgement),
    )
    head = mirror.head(whole.repo.mirror, whole.branch)
    if head is None:
        raise WrongHead("wrong_head", branch=whole.branch)
    return pull, _seen(pull, head) | {"attempt": whole.attempt}


def open_whole(pull: PullRequest, fields: dict[str, Any]) -> PullRequest:
    """Save what `prepare_whole` made. Call inside the transaction that ends the goal."""
    return _open(pull, fields)


def _seen(pull: PullRequest, commit: str) -> dict[str, Any]:
    return scrutiny.columns(scrutiny.look(pull.repo, pull.base_branch, commit), pull, None)


@transaction.atomic
def _open(pull: PullRequest, fields: dict[str, Any]) -> PullRequest:
    for name, value in fields.items():
        setattr(pull, name, value)
    pull.save(force_insert=True)
    facts = {"task": pull.task_id, "goal": pull.goal, "head": pull.head}
    record(Kind.PULL_OPENED, pull, tell=_tell(pull), actor=pull.attempt.agent.name, **facts)
    return PullRequest.objects.get(pk=pull.pk)


@transaction.atomic
def _update(pull: PullRequest, fields: dict[str, Any]) -> PullRequest:
    changes = {**fields, "updated_at": Now(), "merge_note": ""}
    facts = {"actor": fields["attempt"].agent.name, "head": fields["head"]}
    # An open one has no move to make: its follow-up had ended once before, and was revived.
    if PullRequest.objects.filter(pk=pull.pk, status=PullStatus.OPEN).update(**changes):
        record(Kind.PULL_UPDATED, pull, tell=_tell(pull), **facts)
    else:
        transition(pull, PullStatus.OPEN, Kind.PULL_UPDATED, set=changes, tell=_tell(pull), **facts)
    outdate(pull, base=fields["base"], head=fields["head"])
    return PullRequest.objects.get(pk=pull.pk)


@transaction.atomic
def _remember_refusal(task: Task, attempt: Attempt, refused: Refused) -> None:
    record(
        Kind.PULL_REFUSED, task, tell=[f"task.{task.pk}", "dashboard", "needs-you"],
        attempt=attempt.pk, code=refused.code, reason=refused.message,
    )  # fmt: skip


def _tell(pull: PullRequest) -> list[str]:
    return [*watchers(pull), f"task.{pull.task_id}"]
