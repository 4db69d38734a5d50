"""A pull request of what a person has done by hand: a place to push to, and what follows when it was pushed."""

from __future__ import annotations

from apps.agents.models import Agent
from apps.events.refused import Refused, Stale
from apps.forge import opening
from apps.forge.models import PullRequest
from apps.repos import mirror
from apps.repos.models import Repo
from apps.tasks import attempts, by_hand
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt


class NotPushed(Refused):
    """The branch {branch} does not end at {commit} here; push it first."""


class NoPull(Refused):
    """No pull request could be made of it; the page of task #{task} says why."""


def take_place(agent: Agent, repo: Repo, branch: str, title: str) -> Attempt:
    """As `by_hand.take_place` of tasks; new work on a branch with an open pull request belongs to that one."""
    current = PullRequest.objects.filter(repo=repo, branch=branch, ended_at__isnull=True).first()
    metadata = {"pull_request": current.pk} if current is not None else {}
    return by_hand.take_place(agent, repo, branch, title, metadata=metadata)


def pushed(attempt: Attempt, commit: str) -> PullRequest:
    """The place holds `commit` now: the work is done, and this is its pull request. Said twice, it is the same one.

    Raises NotPushed when the hub's mirror says otherwise, Stale when the place was lost meanwhile, NoPull, and Busy
    while another pull request of the repository is being merged.
    """
    assert attempt.repo is not None  # a place is always in a repository
    if mirror.head(attempt.repo.mirror, attempt.branch) != commit:
        raise NotPushed("not_pushed", branch=attempt.branch, commit=commit[:12])
    _complete(attempt, commit)
    pull = opening.open_or_update(attempt.task)
    if pull is None:
        raise NoPull("no_pull_request", task=attempt.task_id)
    return pull


def _complete(attempt: Attempt, commit: str) -> None:
    fence = by_hand.fence_of(attempt)
    result = {"executor": by_hand.HAND, "summary": "Done by hand.", "branch": attempt.branch, "commit": commit}
    try:
        attempts.complete(fence, result, [])
    except Stale:
        same = Attempt.objects.filter(pk=attempt.pk, result__commit=commit).exists()
        if not same or attempts.settled(fence) is not Outcome.SUCCEEDED:
            raise
