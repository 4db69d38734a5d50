"""What the cluster runs for this room. Each job takes an id, looks again, and may run twice."""

from __future__ import annotations

import structlog
from django_q.tasks import async_task

from apps.events.refused import Refused, Stale
from apps.forge import actions, opening, verification
from apps.forge.models import PullRequest
from apps.tasks.models import Task, Work

logger = structlog.get_logger(__name__)


def take_result(task: int) -> None:
    """A task on a repository was completed: open or update its pull request, or take what a verification found."""
    done = Task.objects.select_related("repo").get(pk=task)
    if done.work == Work.VERIFICATION:
        verification.take_report(done)
        return
    if done.goal is not None and "pull_request" not in done.metadata:
        return  # its goal brings the work of all its tasks together, in one pull request
    pull = opening.open_or_update(done)
    if pull is not None:
        refresh(pull.pk)
    else:
        actions.take_back(done)


def take_failure(task: int) -> None:
    """A task of a pull request was buried or cancelled: its verification failed, or its follow-up came to nothing."""
    ended = Task.objects.get(pk=task)
    if ended.work == Work.VERIFICATION:
        verification.give_up(ended)
    else:
        actions.take_back(ended)


def verify_again(pull: int) -> None:
    """One was merged, so the base moved under the others of its repository."""
    base_moved(PullRequest.objects.values_list("repo", flat=True).get(pk=pull))


def base_moved(repo: int) -> None:
    """Look at every open pull request of the repository again; a job each, so that one holds up no other."""
    for pk in PullRequest.objects.filter(repo=repo, ended_at__isnull=True).values_list("pk", flat=True):
        async_task("apps.forge.jobs.refresh", pk, group=f"pullrequest/{pk}")


def refresh_all() -> None:
    """The clock's safety net: open pull requests whose checks nobody asked for."""
    for pk in PullRequest.objects.filter(ended_at__isnull=True).values_list("pk", flat=True):
        async_task("apps.forge.jobs.refresh", pk, group=f"pullrequest/{pk}")


def refresh(pull: int) -> None:
    """Have the checks repeated if nobody did for the head and base as they are. Why not is kept for the page."""
    try:
        verification.refresh(pull)
    except Stale:
        logger.info("pull request changed meanwhile", action="refresh", pull=pull)  # what changed it asks again
    except Refused as refused:
        logger.warning("pull request not refreshed", action="refresh", pull=pull, code=refused.code)
        PullRequest.objects.filter(pk=pull, ended_at__isnull=True).update(merge_note=refused.message[:500])
