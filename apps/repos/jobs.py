"""What the clock runs for this room."""

from __future__ import annotations

import structlog
from django_q.tasks import async_task

from apps.repos import actions, mirror
from apps.repos.models import Repo

logger = structlog.get_logger(__name__)


def sync_all() -> None:
    """Queue one job for each repository with an upstream, so that a slow one holds up no other."""
    for pk in Repo.objects.exclude(url="").values_list("pk", flat=True):
        async_task("apps.repos.jobs.sync", pk, group=f"repo/{pk}")


def sync(repo: int) -> None:
    """Bring one mirror up to date. An upstream that is away is kept on the repository's page, not retried at once."""
    found = Repo.objects.filter(pk=repo).exclude(url="").first()
    if found is None:
        return
    try:
        actions.sync(found)
    except actions.NotReachable as away:
        logger.warning("mirror not synced", action="sync", repo=found.slug, reason=away.message)


def maintain_all() -> None:
    """Pack the mirrors; for a quiet hour."""
    for repo in Repo.objects.all():
        if mirror.exists(repo.mirror):
            mirror.maintain(repo.mirror)
