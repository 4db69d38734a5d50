"""When evidence stops speaking of what would be merged: the verification is stale, and nobody works on it any more."""

from __future__ import annotations

import contextlib

from django.db.models import Q
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import transition
from apps.events.refused import Refused
from apps.forge.lifecycle import VerificationStatus
from apps.forge.models import PullRequest, Verification
from apps.tasks import actions as tasks
from apps.tasks.models import Task

LIVE = (VerificationStatus.PENDING, VerificationStatus.PASSED, VerificationStatus.FAILED)


def outdate(pull: PullRequest, *, base: str, head: str) -> None:
    """Make every verification stale that is not about `head` on `base`. Call inside a transaction."""
    for verification in pull.verifications.filter(~Q(base=base) | ~Q(head=head), status__in=LIVE):
        _outdate(pull, verification)


def call_off(pull: PullRequest) -> None:
    """Nobody needs the pending verification any more. Call inside a transaction."""
    for verification in pull.verifications.filter(status=VerificationStatus.PENDING):
        _outdate(pull, verification)


def _outdate(pull: PullRequest, verification: Verification) -> None:
    transition(
        verification, VerificationStatus.STALE, Kind.PULL_STALE, set={"ended_at": Now()}, tell=watchers(pull),
        pull=pull.pk,
    )  # fmt: skip
    if verification.task is not None:
        stop(verification.task, "What it would prove has changed.")


def stop(task: Task, reason: str) -> None:
    """Cancel a task of the forge's own, unless it has ended."""
    if not task.is_final:
        with contextlib.suppress(Refused):  # it ended in this moment; its result finds nothing waiting for it
            tasks.cancel(task, by="forge", reason=reason)


def watchers(pull: PullRequest) -> list[str]:
    """The channel groups to hint to when `pull` changed."""
    return ["dashboard", pull.group, "needs-you"]
