"""Remedies for work that does not go on: more time for agents that answer, taken back from those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from apps.events.refused import Stale
from apps.ops.assessment import QUIET, Category, Held, Signals
from apps.ops.models import Healing
from apps.ops.signals import GIVE
from apps.ops.steps import Done, Step, tried
from apps.tasks import attempts
from apps.tasks.attempts import Fence
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Attempt, ProgressBatch, Task
from apps.tasks.sweep import door_is_open

TAKE = "take it back"
OFTEN = 2
"""So often an attempt whose agent answers is given more time."""
EVER = timedelta(days=3650)


def stuck(seen: Signals, now: datetime) -> Iterator[Step]:
    """Attempts that hang, one step each."""
    for held in seen.held:
        if not held.is_stuck:
            continue
        given = tried(now, EVER, about=held.attempt, action=GIVE, outcome=Healing.DONE)
        if held.online and given < OFTEN:
            yield _step(held, Category.STUCK, GIVE, given, now)
        else:
            yield _step(held, Category.STUCK, TAKE, given, now)


def lost(seen: Signals, now: datetime) -> Iterator[Step]:
    """What agents held that are away, once its lease is over; before that they may come back to it."""
    for held in seen.held:
        if held.is_lost and not held.is_stuck and held.lapsed > 0:
            yield _step(held, Category.LOST, TAKE, 0, now)


def _step(held: Held, category: Category, action: str, given: int, now: datetime) -> Step:
    return Step(
        category=category,
        subject=f"task/{held.task}",
        about=held.attempt,
        action=action,
        before={**_task(held), "agent": held.agent, "answers": held.online, "given_time": given},
        do=lambda: _give(held) if action == GIVE else _take(held, now),
    )


def _give(held: Held) -> Done:
    """Its lease starts anew; its agent keeps it alive from there, or not."""
    try:
        attempts.renew(_fence(held))
    except Stale:
        return _over(held)
    return Done(Healing.DONE, _task(held), f"{held.agent} answers, and was given more time.")


def _take(held: Held, now: datetime) -> Done:
    lapsed = held.lapsed > 0
    if lapsed and not door_is_open():
        return Done(Healing.NOTHING, _task(held), "No web process is open: agents could not have reached the hub.")
    since = now - timedelta(seconds=QUIET)
    if not lapsed and ProgressBatch.objects.filter(attempt=held.attempt, at__gt=since).exists():
        return Done(Healing.NOTHING, _task(held), "It goes on.")
    why = f"{held.agent} fell silent." if lapsed else f"{held.agent} ran past the time limit."
    try:
        attempts.reclaim(_fence(held), why, only_lapsed=lapsed)
    except Stale:
        return _over(held)
    after = _task(held)
    buried = after.get("status") == TaskStatus.DEAD
    return Done(Healing.DONE, after, f"{why} {'It is in the dead letter.' if buried else 'It is queued again.'}")


def _over(held: Held) -> Done:
    return Done(Healing.NOTHING, _task(held), "It ended or reported in the meantime.")


def _fence(held: Held) -> Fence:
    agent = Attempt.objects.values_list("agent", flat=True).get(pk=held.attempt)
    return Fence(held.task, held.attempt, agent)


def _task(held: Held) -> dict[str, Any]:
    row = dict(Task.objects.filter(pk=held.task).values("status", "failures", "reclaims").first() or {})
    return {"attempt": held.attempt, **row}
