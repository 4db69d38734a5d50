"""Everything that a page, a program or a terminal shows of the hub's own doings; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from apps.brain import budgets, situation
from apps.brain.actions import ONE
from apps.brain.budgets import Purse
from apps.brain.decide import decide
from apps.brain.lifecycle import State
from apps.brain.models import Brain, Stay
from apps.goals import backlog, gate

RECENT = 20


@dataclass(frozen=True, kw_only=True)
class Pause:
    """That a person keeps the hub from beginning anything."""

    by: str
    reason: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the hub does and why, where it goes next (`next`) and what keeps it from going there now (`holds`).

    Without any hold it is about to go. `pending` goals could begin, `active` ones are under way, `waiting` ones wait
    for people.
    """

    now: datetime
    state: State
    why: str
    since: datetime
    seconds: float
    doing: str
    next: State | None
    holds: Sequence[str]
    pause: Pause | None
    pending: int
    active: int
    waiting: int
    critical: int
    next_look_at: datetime | None
    heal_after: datetime | None
    transitions: int
    cycles: int
    budgets: Sequence[Purse]
    stays: Sequence[Stay]


def report(*, now: datetime | None = None, stays: int = RECENT) -> Report:
    """How things are, with that many of the newest stays, the one that lasts among them."""
    at = now or timezone.now()
    brain = Brain.objects.filter(pk=ONE).first() or Brain(pk=ONE, since=at)
    seen = situation.read(brain, at)
    decision = decide(seen)
    shut = gate.standing() if seen.paused else None
    return Report(
        now=at,
        state=brain.state,
        why=brain.reason,
        since=brain.since,
        seconds=seen.seconds,
        doing=decision.reason,
        next=decision.to or decision.wants,
        holds=decision.holds,
        pause=Pause(by=shut.by, reason=shut.reason, since=shut.since) if shut else None,
        pending=seen.waiting,
        active=seen.under_way,
        waiting=backlog.waiting_for_people(),
        critical=seen.critical,
        next_look_at=_ahead(brain.next_look_at, at),
        heal_after=_ahead(brain.heal_after, at),
        transitions=brain.transition_count,
        cycles=brain.cycle_count,
        budgets=budgets.purses(at),
        stays=list(Stay.objects.all()[:stays]) if stays else [],
    )


def _ahead(moment: datetime | None, now: datetime) -> datetime | None:
    return moment if moment is not None and moment > now else None
