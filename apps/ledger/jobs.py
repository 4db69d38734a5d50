"""What the clock does with money that nobody came back for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, time, timedelta

import structlog
from django.db.models import Q, Sum
from django.db.models.functions import TruncMinute
from django.utils import timezone

from apps.ledger import actions, allowances, pace, pauses, prices
from apps.ledger.lifecycle import AllowanceStatus, ChargeStatus
from apps.ledger.models import Allowance, Charge, Pause
from apps.ledger.pricing import dollars

logger = structlog.get_logger(__name__)
AT_ONCE = 500
TRUSTED = timedelta(hours=1)


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


def watch_pace(now: datetime | None = None) -> bool:
    """Pause spending when the last minutes came to far more than usual; whether it did.

    What a person lifted is not judged again for a while: they have seen it.
    """
    at = now or timezone.now()
    if Pause.objects.filter(Q(lifted_at__isnull=True) | Q(lifted_at__gt=at - TRUSTED)).exists():
        return False
    latest, *before = pace.windows(_by_minute(at), at)
    if not pace.runaway(before, latest):
        return False
    usual = dollars(pace.usual(before) or 0)
    return pauses.begin(f"{dollars(latest)} were spent in five minutes; {usual} are usual.", now=at)


def _by_minute(at: datetime) -> dict[datetime, int]:
    """What calls came to in each minute of the last day, corrections apart: those are by hand."""
    posted = Charge.objects.filter(resolved_at__gt=at - pace.HISTORY, resolved_at__lte=at, corrects__isnull=True)
    minutes = posted.filter(cost_micro__gt=0).annotate(minute=TruncMinute("resolved_at")).values("minute").order_by()
    return dict(minutes.annotate(micro=Sum("cost_micro")).values_list("minute", "micro"))


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
