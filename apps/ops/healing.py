"""One round of healing: look at what is wrong, do what can be done about it, write down each thing that was done.

A round may run twice, or beside another: every step looks again before it acts, and what was just tried is not tried
again. How often there is a round is for whoever calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from apps.events.kinds import Kind
from apps.events.log import record
from apps.ops import healing_rest, healing_tasks, signals
from apps.ops.assessment import Category, HealthReport, Signals, assess
from apps.ops.models import Healing, Remedy
from apps.ops.steps import Done, Step

logger = structlog.get_logger(__name__)
Plan = Callable[[Signals, datetime], Iterable[Step]]
REMEDIES: Mapping[Category, Plan] = {
    Category.STUCK: healing_tasks.stuck,
    Category.LOST: healing_tasks.lost,
    Category.ENDPOINTS: healing_rest.endpoints_down,
    Category.REPOS: healing_rest.repos,
    Category.STORAGE: healing_rest.storage,
}


@dataclass(frozen=True, kw_only=True)
class Applied:
    """One thing that was done, or would be."""

    category: str
    subject: str
    action: str
    outcome: str
    detail: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True)
class Healed:
    """A round: how the hub was, what was done, how it is now. True when anything was done."""

    before: HealthReport
    after: HealthReport
    actions: tuple[Applied, ...] = ()
    dry_run: bool = False

    def __bool__(self) -> bool:
        return any(one.outcome == Healing.DONE for one in self.actions)


def heal(*, dry_run: bool = False, now: datetime | None = None) -> Healed:
    """Do what can be done about what is wrong; with `dry_run` only say what that would be, and change nothing."""
    at = now or timezone.now()
    seen = signals.read(at)
    before = assess(seen)
    actions = () if "database" in seen.failed else tuple(_round(seen, at, dry_run=dry_run))
    after = before if dry_run else assess(signals.read(at if now else timezone.now()))
    return Healed(before, after, actions, dry_run)


def _round(seen: Signals, at: datetime, *, dry_run: bool) -> Iterator[Applied]:
    number = (Remedy.objects.aggregate(last=Max("round"))["last"] or 0) + 1
    for category, plan in REMEDIES.items():
        yield from _carry_out(category, plan, seen, at, dry_run=dry_run, number=number)


def _carry_out(
    category: Category, plan: Plan, seen: Signals, at: datetime, *, dry_run: bool, number: int
) -> Iterator[Applied]:
    """The steps of one remedy, one after the other. One that cannot be planned holds up no other remedy."""
    try:
        for step in plan(seen, at):
            done = Done(Healing.PLANNED) if dry_run else _do(step)
            yield _applied(step, done, None if dry_run else number)
    except Exception as error:
        logger.exception("a remedy could not be planned", category=category)
        failed = Done(Healing.FAILED, detail=f"{type(error).__name__}: {error}")
        step = Step(category=category, subject=category.value, action="plan", do=lambda: failed)
        yield _applied(step, failed, None if dry_run else number)


def _do(step: Step) -> Done:
    try:
        return step.do()
    except Exception as error:
        logger.exception("a step of healing failed", action=step.action, subject=step.subject)
        return Done(Healing.FAILED, detail=f"{type(error).__name__}: {error}")


def _applied(step: Step, done: Done, number: int | None) -> Applied:
    """What was done in round `number`, written down; None when it was only planned."""
    applied = Applied(
        category=step.category.value,
        subject=step.subject,
        action=step.action,
        outcome=done.outcome.value,
        detail=done.detail[:500],
        before=dict(step.before),
        after=dict(done.after),
        at=timezone.now(),
    )
    if number is not None:
        try:
            _write(step, applied, number)
        except Exception:  # what was done is done, and the next step may be what makes room to write again
            logger.exception("a step of healing could not be written down", action=step.action, subject=step.subject)
    return applied


def _write(step: Step, applied: Applied, number: int) -> None:
    facts = {name: getattr(applied, name) for name in ("category", "action", "outcome", "detail")}
    before, after = dict(applied.before), dict(applied.after)
    with transaction.atomic():
        remedy = Remedy.objects.create(
            **facts, subject=applied.subject, about=step.about, before=before, after=after, round=number
        )
        record(Kind.REMEDY_APPLIED, remedy, tell=["dashboard"], what=applied.subject, **facts)
    logger.info("healing", what=applied.subject, **facts)
