"""What the hub does next, from plain facts: first match wins. Pure; the clock is in the facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from apps.brain.lifecycle import CYCLES, LOOKING, State

DWELL = 5.0
"""Seconds that the hub stays before it turns to something that nobody asked for."""
LONGEST = 2 * 3600.0
"""Seconds without any progress in one state other than resting; then something is wrong."""
LONGEST_HEALING = 300.0


class Outcome(StrEnum):
    """How the work that fills a state went; nothing yet while it goes on."""

    UNDECIDED = ""
    FOUND = "found"
    NOTHING = "nothing"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything that `decide` looks at. Times are in seconds.

    `watched` is how long the hub has been in its state without having been paused, `quiet` how long no goal has moved.
    `pending` and `active` are goals of people; those of the hub's own are counted apart.
    """

    state: State
    seconds: float = 0.0
    watched: float = 0.0
    quiet: float = 0.0
    paused: bool = False
    pending: int = 0
    active: int = 0
    at_once: int = 3
    own_pending: int = 0
    own_active: int = 0
    own_at_once: int = 1
    working: bool = False
    room: frozenset[State] = frozenset(State)
    critical: int = 0
    heal_wait: float = 0.0
    heals_left: int = 3
    look_wait: float = 0.0
    outcome: Outcome = Outcome.UNDECIDED

    @property
    def is_stuck(self) -> bool:
        """Whether goals are under way of which none has moved for very long, and no agent works on any."""
        return self.under_way > 0 and not self.working and self.quiet >= LONGEST

    @property
    def waiting(self) -> int:
        """Goals of anybody that could begin, were there a place for them."""
        return self.pending + self.own_pending

    @property
    def under_way(self) -> int:
        """Goals of anybody that have begun."""
        return self.active + self.own_active

    @property
    def can_begin(self) -> bool:
        """Whether there is a place for a goal that waits; those of people and of the hub have places of their own."""
        theirs = self.pending > 0 and self.active < self.at_once
        return theirs or (self.own_pending > 0 and self.own_active < self.own_at_once)

    @property
    def has_work(self) -> bool:
        """Whether goals can begin or go on."""
        return self.can_begin or (self.under_way > 0 and not self.is_stuck)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Where to go (None: stay) and why; where it would like to go, and what holds it back. `alarm`: a watchdog bit."""

    to: State | None = None
    reason: str
    wants: State | None = None
    holds: tuple[str, ...] = ()
    alarm: bool = False


def decide(now: Situation) -> Decision:
    """What the hub does next. There is an answer for every situation, and each move is one of its lifecycle."""
    if now.paused:
        return _while_paused(now)
    if now.state is State.HEALING:
        return _healing(now)
    if now.critical and _may_heal(now):
        return _go(State.HEALING, f"{_many(now.critical, 'critical problem')} in the health report.")
    if bitten := _watchdog(now):
        return bitten
    found = _RULES[now.state](now)
    return replace(found, holds=(*_healing_holds(now), *found.holds)) if now.critical else found


def _while_paused(now: Situation) -> Decision:
    """Nothing is begun; only work of the hub's own that has ended is left."""
    if now.state in CYCLES and now.outcome:
        return _go(State.RESTING, f"{_ended(now)} The hub is paused.")
    free = decide(replace(now, paused=False))
    return _stay("The hub is paused.", wants=free.to or free.wants, holds=("A person paused the hub.", *free.holds))


def _healing(now: Situation) -> Decision:
    if now.outcome:
        return _go(State.RESTING, _ended(now))
    if now.watched >= LONGEST_HEALING:
        return _alarm(f"Healing took longer than {_long(LONGEST_HEALING)}.")
    return _stay("The hub tries to mend what is broken.", wants=State.RESTING, holds=("Healing is not done yet.",))


def _may_heal(now: Situation) -> bool:
    return now.heal_wait <= 0 and now.heals_left > 0


def _healing_holds(now: Situation) -> Iterable[str]:
    if now.heal_wait > 0:
        yield f"Healing rests for {_long(now.heal_wait)} after the last time."
    if now.heals_left <= 0:
        yield "Healing was tried as often as it may be in ten minutes."


def _watchdog(now: Situation) -> Decision | None:
    """Leave a state in which the hub hangs. Goals that really are in progress are never torn."""
    if now.state is State.EXECUTING and now.is_stuck and now.seconds >= LONGEST:
        return _alarm(f"No goal has moved for {_long(LONGEST)}.")
    if now.state in LOOKING and now.watched >= LONGEST:
        return _alarm(f"{now.state.capitalize()} took longer than {_long(LONGEST)}.")
    return None


def _resting(now: Situation) -> Decision:
    if now.has_work:
        if State.EXECUTING in now.room:
            return _go(State.EXECUTING, _work(now))
        return _stay("Goals wait for the budget.", wants=State.EXECUTING, holds=(_no_room(State.EXECUTING),))
    if now.under_way:
        hold = f"No goal under way has moved for {_long(LONGEST)}; a person has to look."
        return _stay("The goals under way are stuck.", wants=State.EXECUTING, holds=(hold,))
    holds = [
        *([_no_room(State.IMPROVING)] if State.IMPROVING not in now.room else []),
        *([f"It looks around again in {_long(now.look_wait)}."] if now.look_wait > 0 else []),
        *([f"It became idle just now; it waits {_long(DWELL)}."] if now.seconds < DWELL else []),
    ]
    if holds:
        return _stay("No goals are waiting.", wants=State.IMPROVING, holds=tuple(holds))
    return _go(State.IMPROVING, "No goals are waiting; time to check the repositories.")


def _executing(now: Situation) -> Decision:
    if State.EXECUTING not in now.room:
        return _go(State.RESTING, _no_room(State.EXECUTING))
    if now.waiting or now.under_way:
        return _stay(_work(now), wants=State.RESTING, holds=("Goals are still in progress.",))
    if now.seconds < DWELL:
        hold = f"It began just now; it waits {_long(DWELL)}."
        return _stay("No goal is left.", wants=State.RESTING, holds=(hold,))
    return _go(State.RESTING, "No goal is left to begin or to go on with.")


def _improving(now: Situation) -> Decision:
    if interrupted := _interrupted(now):
        return interrupted
    if now.outcome is Outcome.NOTHING and State.CONTEMPLATING in now.room:
        return _go(State.CONTEMPLATING, "Nothing was found to improve.")
    if now.outcome:
        return _go(State.RESTING, _ended(now))
    return _stay(
        "The hub looks at its repositories.", wants=State.RESTING, holds=("It has not looked at all of it yet.",)
    )


def _contemplating(now: Situation) -> Decision:
    if interrupted := _interrupted(now):
        return interrupted
    if now.outcome:
        return _go(State.RESTING, _ended(now))
    return _stay("The hub looks for new ideas.", wants=State.RESTING, holds=("It is not done thinking.",))


_RULES = {
    State.RESTING: _resting,
    State.EXECUTING: _executing,
    State.IMPROVING: _improving,
    State.CONTEMPLATING: _contemplating,
}


def _interrupted(now: Situation) -> Decision | None:
    """Work that there is goes before looking for some."""
    return _go(State.EXECUTING, _work(now)) if now.has_work and State.EXECUTING in now.room else None


def _ended(now: Situation) -> str:
    """What came of the work that filled the state, as a sentence."""
    if now.outcome is Outcome.FAILED:
        return f"{now.state.capitalize()} failed; the log says why."
    if now.state is State.HEALING:
        return "The remedies were tried."
    found = "found something" if now.outcome is Outcome.FOUND else "found nothing"
    return f"{now.state.capitalize()} {found}."


def _work(now: Situation) -> str:
    parts = [
        *([f"{_many(now.waiting, 'goal')} can begin"] if now.waiting else []),
        *([f"{_many(now.under_way, 'goal')} under way"] if now.under_way else []),
    ]
    return f"{', '.join(parts)}."


def _no_room(state: State) -> str:
    return f"The {state} budget is used up."


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _long(seconds: float) -> str:
    """A length of time for people, rounded up: `40 seconds`, `5 minutes`, `2 hours`."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            return _many(int(-(-seconds // size)), unit)
    return _many(max(1, int(-(-seconds // 1))), "second")


def _go(to: State, reason: str) -> Decision:
    return Decision(to=to, reason=reason)


def _alarm(reason: str) -> Decision:
    return Decision(to=State.RESTING, reason=reason, alarm=True)


def _stay(reason: str, *, wants: State | None, holds: tuple[str, ...]) -> Decision:
    return Decision(reason=reason, wants=wants, holds=holds)
