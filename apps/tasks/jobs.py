"""What the clock, and what happens elsewhere, has run for this room."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from apps.tasks import fallback, spending
from apps.tasks.matchmaking import match
from apps.tasks.models import ProgressBatch
from apps.tasks.sweep import sweep_deeply


def tidy() -> None:
    """The clock's safety net behind the web processes' own sweeps."""
    sweep_deeply()


def rematch(_endpoint: int) -> None:
    """An endpoint came, went, or takes work again: see who can do what waits."""
    match()


def reroute(_endpoint: int) -> None:
    """An endpoint went or came back: let what waits pass it by, or have its own grades again; then match."""
    fallback.restore()
    fallback.bypass()
    match()


def give_back() -> None:
    """Release what attempts that were cancelled or taken back have left."""
    spending.give_back()


def prune() -> None:
    """Live progress of attempts that ended long ago; results, reports and events stay with their task."""
    old = ProgressBatch.objects.filter(at__lt=Now() - min(settings.RETENTION, timedelta(days=3650)))
    old.delete()
