"""How the hub is, and what healing did: for pages, REST, the command line, and the brain."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from apps.ops import signals
from apps.ops.assessment import HealthReport, assess
from apps.ops.healing import Applied
from apps.ops.models import Remedy


def report(now: datetime | None = None) -> HealthReport:
    """What is wrong at this moment."""
    return assess(signals.read(now or timezone.now()))


def critical() -> int:
    """How many critical troubles healing could do something about: what is to be asked before it begins."""
    return report().curable


def last_remedies(limit: int = 20) -> list[Applied]:
    """What healing did last, newest first."""
    return [
        Applied(
            category=row.category,
            subject=row.subject,
            action=row.action,
            outcome=row.outcome,
            detail=row.detail,
            before=row.before,
            after=row.after,
            at=row.at,
        )
        for row in Remedy.objects.all()[:limit]
    ]
