"""What an attempt may spend on its model: set aside when it is assigned, posted call by call, given back at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from apps.ledger import allowances, prices
from apps.ledger.actions import utc_day
from apps.ledger.limits import Amount
from apps.ledger.models import Allowance
from apps.ledger.pricing import CLASSES, Row, Usage
from apps.tasks.matching import Offer
from apps.tasks.models import Attempt, Task

PURPOSE = "execute"
ALLOWANCE = "attempt-"
"""What the key of an attempt's allowance begins with; its number follows."""
FREE_EXECUTORS = frozenset({"command"})
"""What they spend they spend by themselves; the ledger cannot see it."""
LATE = timedelta(hours=1)
"""So long after its time limit an attempt's calls may still be reported before its allowance lapses."""


def priced_as(executor: str, model: str) -> str:
    """The name under which the price of a model is found: Claude's by their own, others behind their executor."""
    return model if executor == "claude" else f"{executor}:{model}"


def grant(task: Task, attempt: int, agent: str, offer: Offer) -> None:
    """Set the allowance of an attempt aside. Raises Unpriced, and Exhausted when some budget has no room for it.

    Call it last in the transaction that assigns: it locks accounts.
    """
    if offer.executor in FREE_EXECUTORS:
        return
    model = priced_as(offer.executor, offer.model)
    free = not any(getattr(row, name) for row in prices.bands(model, utc_day(timezone.now())) for name in CLASSES)
    allowances.grant(
        _key(attempt),
        {"task": str(task.pk), "repo": task.repo.slug if task.repo else "", "agent": agent},
        purpose=PURPOSE,
        amount=Amount(
            micro=0 if free else settings.ATTEMPT_MICROUSD, tokens=settings.MODEL_TOKENS, calls=settings.ATTEMPT_CALLS
        ),
        models=[model],
        ttl=timedelta(seconds=task.timeout_seconds) + LATE,
    )


def allowance_of(attempt: Attempt) -> tuple[Amount, Sequence[Row]] | None:
    """What was set aside for it, and the bands of its model's price on that day."""
    found = Allowance.objects.filter(key=_key(attempt.pk)).first()
    if found is None:
        return None
    return found.granted, prices.bands(priced_as(attempt.executor, attempt.model), utc_day(found.granted_at))


def settle(
    attempt: Attempt,
    *,
    call_id: str,
    tokens: Mapping[str, int],
    started_at: datetime,
    certain: bool,
    duration_ms: int,
    request_id: str,
) -> None:
    """Post one call that its agent reports, whether the attempt is over or not. Raises Invalid for impossible tokens.

    The model is the one that was assigned: a report could name a cheaper one.
    """
    allowances.settle_part(
        _key(attempt.pk),
        f"{attempt.pk}:{call_id}",
        Usage(**{name: tokens.get(name, 0) for name in CLASSES}),
        model=priced_as(attempt.executor, attempt.model),
        started_at=started_at,
        certain=certain,
        duration_ms=duration_ms,
        request_id=request_id,
    )


def release(attempt: int) -> None:
    """The agent has said its last word on it: what is left goes back. Without an allowance there is nothing to do."""
    if Allowance.objects.filter(key=_key(attempt)).exists():
        allowances.release(_key(attempt))


def _key(attempt: int) -> str:
    return f"{ALLOWANCE}{attempt}"
