"""What follows when a default branch moved, what agents found, and what the hub looks for when it has time."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from apps.forge.models import PullRequest
from apps.goals import gate
from apps.insight import checkups, fixing
from apps.insight.models import Checkup
from apps.repos.models import Repo
from apps.repos.trusted import GitFailed
from apps.tasks.models import Task

logger = structlog.get_logger(__name__)


def look_at_repos() -> int:
    """Look at every head that nobody has looked at, in the order of the repositories; how many faults became goals.

    Of what has to be asked of an agent first, the faults become goals at the next look. Nothing while the gate is shut.
    """
    look_at_heads()
    faults = [(checkup, fault) for checkup in fixing.broken() for fault in fixing.unmended(checkup)]
    return sum(fixing.mend(checkup, fault).new for checkup, fault in faults if not gate.is_closed())


def look_at_heads(_subject: int | None = None) -> None:
    """Look at every head whose turn it is: those that nobody could look at when they came, and those that rested."""
    for repo in Repo.objects.filter(paused=False):
        if not gate.is_closed():
            _begin(repo)


def head_moved(repo: int) -> None:
    """The default branch moved, or what is asked of it changed: look at it. A paused one is looked at later."""
    found = Repo.objects.filter(pk=repo, paused=False).first()
    if found is not None and not gate.is_closed():
        _begin(found)


def merged(pull: int) -> None:
    """A pull request was merged, so the default branch may have moved."""
    head_moved(PullRequest.objects.values_list("repo", flat=True).get(pk=pull))


def take_result(task: int) -> None:
    """An agent repeated checks, perhaps of a checkup; when the branch has moved on since, it is looked at again."""
    ended = checkups.take_report(Task.objects.get(pk=task))
    if ended is not None:
        head_moved(ended.repo_id)


def take_failure(task: int) -> None:
    """The checks of a checkup could not be run; when the branch has moved on since, it is looked at again."""
    ended = checkups.give_up(Task.objects.get(pk=task))
    if ended is not None:
        head_moved(ended.repo_id)


def prune() -> None:
    """Checkups of long ago; the last word on each repository stays, however old it is."""
    long_ago = timezone.now() - min(settings.RETENTION, timedelta(days=3650))
    kept = Checkup.objects.newest().values_list("pk", flat=True)
    Checkup.objects.filter(ended_at__lt=long_ago).exclude(pk__in=list(kept)).delete()


def _begin(repo: Repo) -> None:
    """One repository that cannot be read holds up no other."""
    try:
        checkups.begin(repo)
    except GitFailed as failed:
        logger.warning("a head could not be looked at", repo=repo.slug, reason=failed.reason)
