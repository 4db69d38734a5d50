"""What an attempt may spend on its model: set aside when it is assigned, posted call by call, given back at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import Count, QuerySet, Sum, Value
from django.utils import timezone

from apps.agents.models import Agent
from apps.ledger import allowances, prices
from apps.ledger.actions import utc_day
from apps.ledger.limits import MEASURES, Amount, usually
from apps.ledger.models import Allowance
from apps.ledger.pricing import CLASSES, Row, Usage
from apps.tasks.matching import Offer
from apps.tasks.models import Attempt, Task

logger = structlog.get_logger(__name__)

PURPOSE = "execute"
ALLOWANCE = "attempt-"
"""What the key of an attempt's allowance begins with; its number follows."""
FREE_EXECUTORS = frozenset({"command"})
"""What they spend they spend by themselves; the ledger cannot see it."""
LATE = timedelta(hours=1)
"""So long after its time limit an attempt's calls may still be reported before its allowance lapses."""

TOLD = timedelta(minutes=5)
"""An agent that has been connected for so long since an attempt ended has told of every call of it: it tells each again
every few seconds until it is answered."""
AT_ONCE = 500
LIKE = 50
"""So many of the last attempts like it say what one usually needs (AGENTCOM_ESTIMATE=p95)."""
OWN = "own"
"""Set in a task's metadata by whoever submits it: the hub wants it of itself, so it is paid from that share too."""
PARTS = 10
"""An attempt begins with a tenth of what the settings allow it, where budgets have no more left, and not with less."""


def priced_as(executor: str, model: str) -> str:
    """The name under which the price of a model is found: Claude's by their own, others behind their executor."""
    return model if executor == "claude" else f"{executor}:{model}"


def grant(task: Task, attempt: int, agent: str, offer: Offer) -> None:
    """Set the allowance of an attempt aside, less where budgets have less left, and never less than a part of it.

    Raises Unpriced, Paused, and Exhausted when some budget has no room for that part.

    Call it last in the transaction that assigns: it locks accounts.
    """
    if offer.executor in FREE_EXECUTORS:
        return
    most = Amount(micro=settings.ATTEMPT_MICROUSD, tokens=settings.MODEL_TOKENS, calls=settings.ATTEMPT_CALLS)
    allowances.grant(
        _key(attempt),
        {
            "task": str(task.pk),
            "goal": str(task.goal or ""),
            "repo": task.repo.slug if task.repo else "",
            "agent": agent,
        },
        purpose=PURPOSE,
        amount=most if settings.ESTIMATE == "worst" else _usual(task, offer, most),
        least=_part(most),
        model=priced_as(offer.executor, offer.model),
        ttl=timedelta(seconds=task.timeout_seconds) + LATE,
        own=bool(task.metadata.get(OWN)),
    )


def _usual(task: Task, offer: Offer, most: Amount) -> Amount:
    """What attempts of this model at tasks of this tier mostly need, and never less than may be begun with."""
    like = Attempt.objects.filter(executor=offer.executor, model=offer.model, task__tier=task.tier)
    keys = [_key(pk) for pk in like.filter(ended_at__isnull=False).order_by("-pk").values_list("pk", flat=True)[:LIKE]]
    tokens = sum((Sum(f"charges__{name}", default=0) for name in CLASSES), start=Value(0))
    over = Allowance.objects.filter(key__in=keys, released_at__isnull=False).annotate(
        micro=Sum("charges__cost_micro", default=0), tokens=tokens, calls=Count("charges")
    )
    spent = [(Amount(micro=one.micro, tokens=one.tokens, calls=one.calls), one.granted) for one in over]
    usual, least = usually(most, spent), _part(most)
    return Amount(**{measure: max(getattr(usual, measure), getattr(least, measure)) for measure in MEASURES})


def _part(most: Amount) -> Amount:
    return Amount(**{measure: -(-much // PARTS) for measure, much in most.items()})


def allowance_of(attempt: Attempt) -> tuple[Amount, Sequence[Row]] | None:
    """What was set aside for it, and the bands of the price that its calls are charged by. May raise Unpriced."""
    found = Allowance.objects.select_related("price").filter(key=_key(attempt.pk)).first()
    if found is None:
        return None
    if found.price is not None:
        return found.granted, prices.bands_beside(found.price)
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

    The model is the one that was assigned: a report could name a cheaper one. Tokens of a class that has no price here
    are counted as output, which is the dearest, and the call is not certain.
    """
    others = {name: count for name, count in tokens.items() if name not in CLASSES and count}
    used = {name: tokens.get(name, 0) for name in CLASSES}
    used["output"] += sum(others.values())
    allowances.settle_part(
        _key(attempt.pk),
        f"{attempt.pk}:{call_id}",
        Usage(**used),
        model=priced_as(attempt.executor, attempt.model),
        started_at=started_at,
        certain=certain and not others,
        duration_ms=duration_ms,
        request_id=request_id,
        note=f"Tokens without a price, counted as output: {', '.join(sorted(others))}." if others else "",
    )


def release(attempt: int) -> None:
    """The agent has said its last word on it: what is left goes back. Without an allowance there is nothing to do."""
    if Allowance.objects.filter(key=_key(attempt)).exists():
        allowances.release(_key(attempt))


def give_back(now: datetime | None = None) -> int:
    """Release what is left of attempts that ended without their agent's last word; the number of allowances.

    Only where the agent had the time since to tell what it spent; what it tells later is posted all the same. Each is a
    transaction of its own, because a release locks accounts, and one that cannot be released stops no other.
    """
    count = 0
    for attempt in _over(now or timezone.now()):
        try:
            release(attempt)
            count += 1
        except Exception:
            logger.exception("an allowance was not given back", attempt=attempt)
    return count


def _over(at: datetime) -> list[int]:
    """Attempts that ended, whose agents are there and have told everything, and whose allowance is not released."""
    kept = Allowance.objects.filter(released_at__isnull=True, key__startswith=ALLOWANCE).order_by("pk")
    numbers = [int(key.removeprefix(ALLOWANCE)) for key in kept.values_list("key", flat=True)]
    there = Agent.objects.online().filter(connected_at__lte=at - TOLD)
    found: list[int] = []
    for start in range(0, len(numbers), AT_ONCE):
        found += _ended(numbers[start : start + AT_ONCE], there, at)
    return found


def _ended(attempts: Sequence[int], agents: QuerySet[Agent], at: datetime) -> QuerySet[Attempt, int]:
    over = Attempt.objects.filter(pk__in=attempts, ended_at__lte=at - TOLD, agent__in=agents)
    return over.order_by("pk").values_list("pk", flat=True)


def _key(attempt: int) -> str:
    return f"{ALLOWANCE}{attempt}"
