"""What the clock does with money that nobody came back for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time

from django.utils import timezone

from apps.ledger import actions, allowances, prices
from apps.ledger.lifecycle import AllowanceStatus, ChargeStatus
from apps.ledger.models import Allowance, Charge

AT_ONCE = 500


def reap(now: datetime | None = None) -> int:
    """Post reservations whose time is over at their estimate, flagged uncertain, and let silent allowances lapse.

    Calls whose missing price was entered since are posted by it. How many calls and allowances in all.
    """
    at = now or timezone.now()
    calls = Charge.objects.filter(status=ChargeStatus.RESERVED, expires_at__lte=at).values_list("call_id", flat=True)
    silent = Allowance.objects.filter(status=AllowanceStatus.OPEN, expires_at__lte=at).values_list("key", flat=True)
    expired, lapsed = list(calls[:AT_ONCE]), list(silent[:AT_ONCE])
    for call_id in expired:
        actions.mark_uncertain(call_id, reason="Nobody reported in time.", now=at)
    for key in lapsed:
        allowances.lapse(key)
    late = list(_priced_late())
    for call_id in late:
        actions.price_late(call_id, now=at)
    return len(expired) + len(lapsed) + len(late)


def _priced_late() -> Iterator[str]:
    """Calls without a price whose model has one by now, in effect on their day."""
    unpriced = Charge.objects.filter(status=ChargeStatus.UNCERTAIN, price__isnull=True)
    for model in unpriced.order_by("model").values_list("model", flat=True).distinct():
        if since := prices.priced_since(model):
            known = unpriced.filter(model=model, started_at__gte=datetime.combine(since, time(), UTC))
            yield from known.order_by("pk").values_list("call_id", flat=True)[:AT_ONCE]
