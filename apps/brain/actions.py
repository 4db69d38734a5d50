"""What the hub does by itself: think, move, begin goals; and what people do with it: pause and resume."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_q.tasks import async_task

from apps.brain import cycles, pace, situation, watch
from apps.brain.decide import Decision, Outcome, Situation, decide
from apps.brain.lifecycle import CYCLES, LOOKING, State
from apps.brain.models import Brain, Stay
from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Refused, Stale
from apps.goals import actions as goals
from apps.goals import backlog, gate, own
from apps.insight import checkups

logger = structlog.get_logger(__name__)
ONE = 1
STEPS = 4
"""Moves at most in one go; whatever is left has its next chance a minute later."""
TELL = ("dashboard", "brain")
LONGEST_REASON = 300


def current() -> Brain:
    """The brain as it is; a new hub rests."""
    found = Brain.objects.filter(pk=ONE).first()
    if found is not None:
        return found
    with transaction.atomic():
        made, new = Brain.objects.get_or_create(pk=ONE, defaults={"reason": "A new hub has nothing to do."})
        if new:
            Stay.objects.create(move=0, status=made.status, reason=made.reason, at=made.since)
    return made


def think(*, now: datetime | None = None) -> Decision:
    """Look at how things are, go where that leads, and do there what is to be done at once. Calls no model.

    Any number of processes may think at the same time: a move happens once. The decision is the last one made; when
    somebody else moved the hub meanwhile, it was not carried out.
    """
    at = now or timezone.now()
    for _ in range(STEPS):
        brain = current()
        seen = situation.read(brain, at)
        decision = decide(seen)
        if decision.to is None:
            break
        try:
            _move(brain, decision, at)
        except Stale:  # somebody else thinks too, and goes on from there
            logger.info("somebody else moved the hub", to=decision.to.value)
            return decision
    _carry_on(current(), seen, at)
    return decision


@transaction.atomic
def _move(brain: Brain, decision: Decision, at: datetime) -> None:
    """Raises Stale when the hub is not where the decision was made any more."""
    assert decision.to is not None
    reason = decision.reason[:LONGEST_REASON]
    changes: dict[str, Any] = {
        "reason": reason,
        "since": at,
        "outcome": "",
        "transition_count": brain.transition_count + 1,
        **_left(brain, decision, at),
        **_entered(brain, decision.to, at),
    }
    was, came, fence = brain.status, brain.since, {"transition_count": brain.transition_count}
    facts = {"was": was, "now": decision.to.value, "reason": reason, "alarm": decision.alarm}
    transition(brain, decision.to, Kind.BRAIN_MOVED, set=changes, where=fence, tell=TELL, actor="brain", **facts)
    Stay.objects.filter(left_at__isnull=True).update(left_at=max(at, came))
    Stay.objects.create(
        move=brain.transition_count,
        status=decision.to,
        came_from=was,
        reason=reason,
        alarm=decision.alarm,
        cycle=brain.cycle if decision.to in CYCLES else None,
        at=at,
    )
    if decision.to in CYCLES:
        _ask(brain)
    if decision.alarm:
        watch.alarm(State(was), reason)


def _left(brain: Brain, decision: Decision, at: datetime) -> dict[str, Any]:
    """What leaving a state changes: when the hub looks around, or heals, again."""
    if brain.state is State.HEALING:
        rest = pace.cooldown(brain.heal_rounds)
        return {"heal_after": at + timedelta(seconds=rest)}
    if brain.state in LOOKING and decision.to is not None:
        found = pace.next_look(brain.idle, Outcome(brain.outcome), decision.to, alarm=decision.alarm)
        if found is not None:
            idle, wait = found
            return {"idle": idle, "looked_at": at, "next_look_at": at + timedelta(seconds=wait)}
    return {}


def _entered(brain: Brain, to: State, at: datetime) -> dict[str, Any]:
    """What entering a state changes."""
    changes: dict[str, Any] = {}
    if brain.state is State.RESTING and to in (State.EXECUTING, State.IMPROVING):
        changes["cycle_count"] = brain.cycle_count + 1
    if to in CYCLES:
        changes |= {"cycle": brain.cycle + 1, "asks": 1, "asked_at": at}
    if to is State.HEALING:
        opened = brain.heal_window_at
        if opened is None or (at - opened).total_seconds() >= pace.HEAL_WINDOW:
            changes |= {"heal_window_at": at, "heals": 1}
        else:
            changes["heals"] = brain.heals + 1
        changes["heal_rounds"] = brain.heal_rounds + 1
    return changes


def _ask(brain: Brain) -> None:
    """Have the work that fills this state done, by a job in the commit of the move."""
    async_task(cycles.JOBS[brain.state], brain.cycle, group=f"brain/{brain.pk}", cluster=cycles.CLUSTERS[brain.state])


def _carry_on(brain: Brain, seen: Situation, at: datetime) -> None:
    """What is to be done in the state that the hub is in."""
    if seen.paused:
        _withdraw()  # whoever paused it may have been killed before that, or a slice came in between
        return
    if brain.state is State.EXECUTING and seen.waiting:
        _begin(at)
    if brain.state in CYCLES and not brain.outcome:
        _ask_again(brain, at)
    if not seen.critical and brain.heal_rounds and brain.state is not State.HEALING:
        Brain.objects.filter(pk=ONE, status=brain.status).update(heal_rounds=0)


@transaction.atomic
def _begin(at: datetime) -> None:
    """Begin goals up to as many as may go on at once, those of the hub's own beside what people want.

    One process at a time, or two would begin twice as many.
    """
    here = Brain.objects.select_for_update().filter(pk=ONE, status=State.EXECUTING).first()
    if here is None or gate.is_closed():
        return
    theirs = backlog.startable(room=settings.GOALS_AT_ONCE - backlog.active())
    ours = backlog.startable(room=backlog.OWN_AT_ONCE - backlog.active(own=True), own=True)
    begun = 0
    for goal in (*theirs, *ours):
        try:
            goals.begin(goal)
            begun += 1
        except Refused as refused:  # it moved, or has to wait after all
            logger.info("goal not begun", goal=goal.pk, code=refused.code)
    if begun:
        Brain.objects.filter(pk=ONE).update(last_progress_at=at)


@transaction.atomic
def _ask_again(brain: Brain, at: datetime) -> None:
    """Work that was killed in the middle begins anew; what it had done it finds done."""
    lost = timedelta(seconds=cycles.LOST[brain.state])
    if brain.asked_at is not None and at - brain.asked_at < lost:
        return
    fence = {"pk": ONE, "status": brain.status, "cycle": brain.cycle, "asks": brain.asks, "outcome": ""}
    if Brain.objects.filter(**fence).update(asks=F("asks") + 1, asked_at=at):
        logger.warning("the work of a state is begun anew", state=brain.status, cycle=brain.cycle, asks=brain.asks + 1)
        _ask(brain)


def is_wanted(state: State, cycle: int) -> bool:
    """Whether the hub still waits for the work of this cycle."""
    return Brain.objects.filter(pk=ONE, status=state, cycle=cycle, outcome="").exists()


def cycle_ended(cycle: int, outcome: Outcome, *, now: datetime | None = None) -> bool:
    """The work that fills a state is done. Of a cycle that the hub has left it changes nothing: False."""
    state = current().state
    waiting = Brain.objects.filter(pk=ONE, cycle=cycle, outcome="", status=state.value)
    if state not in CYCLES or not waiting.update(outcome=outcome.value):
        return False
    watch.all_clear(state)
    think(now=now)
    return True


def progressed(*, now: datetime | None = None) -> None:
    """A goal has moved."""
    current()
    Brain.objects.filter(pk=ONE).update(last_progress_at=now or timezone.now())
    watch.all_clear(State.EXECUTING)


def stirred() -> None:
    """Something happened that may give the hub something to find: the next look comes soon, and waits grow anew.

    Never sooner than a minute after the last one, however much happens.
    """
    brain = current()
    if not brain.idle and brain.next_look_at is None:
        return
    soon = brain.looked_at + timedelta(seconds=pace.SOONEST_LOOK) if brain.looked_at else None
    if soon is not None and brain.next_look_at is not None:
        soon = min(soon, brain.next_look_at)
    Brain.objects.filter(pk=ONE, looked_at=brain.looked_at).update(idle=0, next_look_at=soon)


def pause(*, by: str, reason: str = "") -> bool:
    """Begin nothing any more; what agents have in hand goes on. False when it was paused already."""
    brain = current()
    with transaction.atomic():
        closed = gate.close(by=by, reason=reason)
        if closed:
            record(Kind.BRAIN_PAUSED, brain, tell=TELL, actor=by, reason=reason[:LONGEST_REASON])
    # Only now does everybody see the gate shut: what was handed in just before is among what is taken out.
    _withdraw()
    return closed


def _withdraw() -> None:
    """Take what the hub wants of itself, and no agent has begun, out of the queue."""
    own.withdraw()
    checkups.withdraw()


def resume(*, by: str, now: datetime | None = None) -> bool:
    """Go on. The time while it was paused counts for no watchdog. False when it was not paused."""
    brain = current()
    with transaction.atomic():
        if not gate.open_(by=by):
            return False
        Brain.objects.filter(pk=ONE).update(resumed_at=now or timezone.now())
        record(Kind.BRAIN_RESUMED, brain, tell=TELL, actor=by)
    return True
