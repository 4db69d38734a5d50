"""What the clusters run for this room."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django_q.models import Failure, Success

from apps.ops.models import Alert

KEPT_SUCCESSES = timedelta(days=1)
KEPT_FAILURES = timedelta(days=30)


def beat() -> None:
    """Does nothing: that a worker ran it is what the supervisor wants to know (pulse.py leaves the mark)."""


def prune() -> None:
    """Forget what ended long ago. django-q2's own pruning would cost a count for every job."""
    now = timezone.now()
    Success.objects.filter(stopped__lt=now - KEPT_SUCCESSES).delete()
    Failure.objects.filter(stopped__lt=now - KEPT_FAILURES).delete()
    Alert.objects.filter(cleared_at__lt=now - min(settings.RETENTION, timedelta(days=3650))).delete()
