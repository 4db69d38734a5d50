"""What the clock, and a new endpoint, have run for this room."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone
from django_q.tasks import async_task

from apps.endpoints import ollama, reports
from apps.endpoints.models import Endpoint, Model

logger = structlog.get_logger(__name__)


def look_at_all() -> None:
    """Queue one look for each endpoint that an operator added, so that a slow one holds up no other."""
    for pk in Endpoint.objects.ours().values_list("pk", flat=True):
        async_task("apps.endpoints.jobs.look", pk, group=f"endpoint/{pk}")


def look(endpoint: int) -> None:
    """See whether one answers, and what it has. Never of one that an agent named."""
    found = Endpoint.objects.ours().filter(pk=endpoint).first()
    if found is None:
        return
    try:
        seen, trouble = ollama.look(found.url, known=_known(found)), ""
    except ollama.NoAnswer as silent:
        seen, trouble = None, str(silent)
        logger.warning("an endpoint does not answer", endpoint=found.pk, url=found.url, reason=trouble)
    reports.looked(found, seen, trouble)


def prune() -> None:
    """Endpoints and models that agents do not speak of any more."""
    reports.forget_old(timezone.now() - min(settings.RETENTION, timedelta(days=3650)))


def _known(endpoint: Endpoint) -> list[ollama.Seen]:
    rows = Model.objects.filter(endpoint=endpoint, installed=True).exclude(digest="")
    return [ollama.Seen(row.name, row.digest, row.context, tuple(row.capabilities)) for row in rows]
