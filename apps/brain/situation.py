"""Reads what `decide` looks at. A fixed number of queries, none of which reads what is finished."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from apps.brain import budgets, pace, watch
from apps.brain.decide import Outcome, Situation
from apps.brain.models import Brain
from apps.goals import backlog, gate
from apps.tasks.models import Attempt


def read(brain: Brain, now: datetime) -> Situation:
    """The situation of `brain` at `now`."""
    return Situation(
        state=brain.state,
        seconds=brain.seconds(now),
        watched=_since(now, brain.since, brain.resumed_at),
        quiet=_since(now, brain.last_progress_at, brain.resumed_at) if brain.last_progress_at else brain.seconds(now),
        paused=gate.is_closed(),
        pending=backlog.pending(),
        active=backlog.active(),
        at_once=settings.GOALS_AT_ONCE,
        own_pending=backlog.pending(own=True),
        own_active=backlog.active(own=True),
        own_at_once=backlog.OWN_AT_ONCE,
        working=Attempt.objects.open().filter(task__goal__isnull=False).exists(),
        room=budgets.room(now),
        critical=watch.critical(),
        heal_wait=_until(now, brain.heal_after),
        heals_left=pace.heals_left(brain.heals, _since(now, brain.heal_window_at) if brain.heal_window_at else None),
        look_wait=_until(now, brain.next_look_at),
        outcome=Outcome(brain.outcome),
    )


def _since(now: datetime, *moments: datetime | None) -> float:
    """Seconds since the last of those that there were."""
    return max(0.0, (now - max(moment for moment in moments if moment)).total_seconds())


def _until(now: datetime, moment: datetime | None) -> float:
    return (moment - now).total_seconds() if moment else 0.0
