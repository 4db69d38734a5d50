"""What the clusters run for this room."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from django_q.models import Failure, Success

KEPT_SUCCESSES = timedelta(days=1)
KEPT_FAILURES = timedelta(days=30)


def beat() -> None:
    """Does nothing: that a worker ran it is what the supervisor wants to know (pulse.py leaves the mark)."""


def prune() -> None:
    """Forget jobs that ran long ago; django-q2's own pruning costs a count for every job."""
    now = timezone.now()
    Success.objects.filter(stopped__lt=now - KEPT_SUCCESSES).delete()
    Failure.objects.filter(stopped__lt=now - KEPT_FAILURES).delete()
