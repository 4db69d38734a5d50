"""What the clusters run for this room."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django_q.models import Failure, Success

from apps.endpoints.health import Health
from apps.endpoints.models import Endpoint
from apps.insight.lifecycle import CheckupStatus
from apps.insight.models import Checkup
from apps.ops import alerts
from apps.ops.assessment import BROKEN_MAIN, ENDPOINT_DOWN
from apps.ops.models import Alert, Remedy, Severity

KEPT_SUCCESSES = timedelta(days=1)
KEPT_FAILURES = timedelta(days=30)


def beat() -> None:
    """Does nothing: that a worker ran it is what the supervisor wants to know (pulse.py leaves the mark)."""


def prune() -> None:
    """Forget what ended long ago. django-q2's own pruning would cost a count for every job."""
    now = timezone.now()
    Success.objects.filter(stopped__lt=now - KEPT_SUCCESSES).delete()
    Failure.objects.filter(stopped__lt=now - KEPT_FAILURES).delete()
    Remedy.objects.filter(at__lt=now - min(settings.RETENTION, timedelta(days=3650))).delete()
    Alert.objects.filter(cleared_at__lt=now - min(settings.RETENTION, timedelta(days=3650))).delete()
    _clear_what_is_gone()


def endpoint_changed(endpoint: int) -> None:
    """One went down, came back, or is no more: its alert is raised, or over."""
    key = f"{ENDPOINT_DOWN}{endpoint}"
    down = Endpoint.objects.filter(pk=endpoint, health=Health.DOWN).first()
    if down is None:
        alerts.clear(key)
    else:
        why = f": {down.trouble}" if down.trouble else "."
        alerts.raise_(key, Severity.WARNING, f"{down} does not answer{why}", endpoint=endpoint, url=down.url)


def checkup_ended(checkup: int) -> None:
    """A default branch is broken, or well again, by the last word on its repository."""
    repo = Checkup.objects.select_related("repo").get(pk=checkup).repo
    last = Checkup.objects.newest().filter(repo=repo).first()
    key = f"{BROKEN_MAIN}{repo.slug}"
    if last is None or last.status != CheckupStatus.FAILED:
        alerts.clear(key)
        return
    said = f"{repo.default_branch} of {repo.slug} is broken at {last.commit[:12]}: {last.note}"
    alerts.raise_(key, Severity.CRITICAL, said, repo=repo.slug, commit=last.commit, checkup=last.pk)


def _clear_what_is_gone() -> None:
    """Endpoints of agents go without a word."""
    for key in Alert.objects.open().filter(key__startswith=ENDPOINT_DOWN).values_list("key", flat=True):
        endpoint_changed(int(key.removeprefix(ENDPOINT_DOWN)))
