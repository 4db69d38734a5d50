"""What the clock runs for this room."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from apps.tasks.models import ProgressBatch
from apps.tasks.sweep import sweep_deeply


def tidy() -> None:
    """The clock's safety net behind the web processes' own sweeps."""
    sweep_deeply()


def prune() -> None:
    """Live progress of attempts that ended long ago; results, reports and events stay with their task."""
    old = ProgressBatch.objects.filter(at__lt=Now() - min(settings.RETENTION, timedelta(days=3650)))
    old.delete()
