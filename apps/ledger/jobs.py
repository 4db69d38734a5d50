"""What the clock does with money that nobody came back for."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from apps.ledger import actions, allowances
from apps.ledger.lifecycle import AllowanceStatus, ChargeStatus
from apps.ledger.models import Allowance, Charge

AT_ONCE = 500


def reap(now: datetime | None = None) -> int:
    """Post reservations whose time is over at their estimate, flagged uncertain; how many calls and allowances."""
    at = now or timezone.now()
    calls = Charge.objects.filter(status=ChargeStatus.RESERVED, expires_at__lte=at).values_list("call_id", flat=True)
    silent = Allowance.objects.filter(status=AllowanceStatus.OPEN, expires_at__lte=at).values_list("key", flat=True)
    expired, lapsed = list(calls[:AT_ONCE]), list(silent[:AT_ONCE])
    for call_id in expired:
        actions.mark_uncertain(call_id, reason="Nobody reported in time.", now=at)
    for key in lapsed:
        allowances.lapse(key)
    return len(expired) + len(lapsed)
