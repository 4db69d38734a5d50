"""Whether a pull request's work is in its base already, whoever put it there and whatever the hub remembers of it.

A merge is made of git and database steps that no transaction can join. The merge commit is kept under a ref of its own
before the branch moves, so that after a crash the next look finds it in the base and writes down what is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import transition
from apps.forge.lifecycle import PullStatus
from apps.forge.models import PullRequest
from apps.forge.staleness import call_off, watchers
from apps.repos import mirror
from apps.repos.trusted import git


@dataclass(frozen=True)
class Landed:
    """The commit by which the work came into the base; `ours` when the hub made it."""

    commit: str
    ours: bool


def landed(pull: PullRequest) -> Landed | None:
    """How the work came into its base, None when it has not."""
    path = pull.repo.mirror
    base = mirror.head(path, pull.base_branch)
    if base is None:
        return None
    made = mirror.reference(path, _ref(pull))
    if made is not None and mirror.is_ancestor(path, made, base):
        return Landed(made, ours=True)
    return Landed(pull.head, ours=False) if mirror.is_ancestor(path, pull.head, base) else None


def remember(pull: PullRequest, commit: str) -> None:
    """Keep the merge commit findable before the branch moves to it."""
    git(pull.repo.mirror, "update-ref", _ref(pull), commit)


def _ref(pull: PullRequest) -> str:
    return f"refs/agentcom/merging/{pull.pk}"


@transaction.atomic
def record_merged(pull: PullRequest, commit: str, *, by: Any = None, note: str = "") -> None:
    """Write down that `commit` brought the work into the base. Raises Stale when the pull request has ended."""
    changes = {
        "merged_commit": commit,
        "merge_note": note[:500],
        "ended_at": Now(),
        "updated_at": Now(),
        "ended_by": by,
    }
    transition(
        pull, PullStatus.MERGED, Kind.PULL_MERGED, set=changes, tell=watchers(pull),
        actor=by.get_username() if by is not None else "", commit=commit, note=note, goal=pull.goal,
    )  # fmt: skip
    call_off(pull)
