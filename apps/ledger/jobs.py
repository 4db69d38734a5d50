"""What the clock does with money that nobody came back for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, time

import structlog
from django.utils import timezone

from apps.ledger import actions, allowances, prices
from apps.ledger.lifecycle import AllowanceStatus, ChargeStatus
from apps.ledger.models import Allowance, Charge

logger = structlog.get_logger(__name__)
AT_ONCE = 500


def reap(now: datetime | None = None) -> int:
    """Post reservations whose time is over at their estimate, flagged uncertain, and let silent allowances lapse.

    Calls whose missing price was entered since are posted by it. How many calls and allowances in all; one that cannot
    be dealt with is logged, and stops no other.
    """
    at = now or timezone.now()
    calls = Charge.objects.filter(status=ChargeStatus.RESERVED, expires_at__lte=at).order_by("expires_at")
    silent = Allowance.objects.filter(status=AllowanceStatus.OPEN, expires_at__lte=at).order_by("expires_at")
    expired, lapsed = calls.values_list("call_id", flat=True), silent.values_list("key", flat=True)
    return (
        _each(expired[:AT_ONCE], lambda call: actions.mark_uncertain(call, reason="Nobody reported in time.", now=at))
        + _each(lapsed[:AT_ONCE], allowances.lapse)
        + _each(_priced_late(), lambda call: actions.price_late(call, now=at))
    )


def _each(names: Iterable[str], deed: Callable[[str], object]) -> int:
    done = 0
    for name in list(names):
        try:
            deed(name)
            done += 1
        except Exception:
            logger.exception("could not be reaped", name=name)
    return done


def _priced_late() -> Iterator[str]:
    """Calls without a price whose model has one by now, in effect on their day."""
    unpriced = Charge.objects.filter(status=ChargeStatus.UNCERTAIN, price__isnull=True)
    for model in unpriced.order_by("model").values_list("model", flat=True).distinct():
        if since := prices.priced_since(model):
            known = unpriced.filter(model=model, started_at__gte=datetime.combine(since, time(), UTC))
            yield from known.order_by("pk").values_list("call_id", flat=True)[:AT_ONCE]
