"""What the clock runs for this room."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.offering import in_use
from apps.endpoints import reports


def prune() -> None:
    """Endpoints and models that agents do not speak of any more, and do not offer."""
    offered = Agent.objects.filter(retired_at__isnull=True).values_list("offers", flat=True)
    used = {endpoint for offers in offered for endpoint in in_use(offers)}
    reports.forget_old(timezone.now() - min(settings.RETENTION, timedelta(days=3650)), used=used)
