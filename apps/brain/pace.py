"""How soon the hub looks around, and heals, again. Pure; lengths are in seconds."""

from __future__ import annotations

from apps.brain.decide import Outcome
from apps.brain.lifecycle import LOOKING, State

SOONEST_LOOK = 60.0
LATEST_LOOK = 3600.0
DAY = 86_400.0
WAITS = (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, LATEST_LOOK, DAY)
"""Before the next look, after so many looks in a row that found nothing.

It doubles up to an hour; once even the look after an hour found nothing, and nothing has happened since, a day.
"""

HEALS_AT_MOST = 3
HEAL_WINDOW = 600.0
COOLDOWN = 300.0
LONGEST_COOLDOWN = 3600.0


def next_look(idle: int, outcome: Outcome, to: State, *, alarm: bool) -> tuple[int, float] | None:
    """After a look: the number of fruitless ones in a row, and the wait before the next; None when it goes on.

    A look that was cut short by something more important says nothing about what it would have found.
    """
    if to in LOOKING:
        return None
    if outcome is Outcome.FOUND:
        return 0, SOONEST_LOOK
    if outcome is Outcome.UNDECIDED and not alarm:
        return idle, SOONEST_LOOK
    level = min(idle, len(WAITS) - 1)
    return min(level + 1, len(WAITS) - 1), WAITS[level]


def heals_left(made: int, since_first: float | None) -> int:
    """How often healing may still be tried in the window that the first of `made` tries opened."""
    if since_first is None or since_first >= HEAL_WINDOW:
        return HEALS_AT_MOST
    return max(0, HEALS_AT_MOST - made)


def cooldown(rounds: int) -> float:
    """The rest after healing; from the fourth round in a row that left something critical it doubles, up to an hour."""
    return min(LONGEST_COOLDOWN, COOLDOWN * 2.0 ** min(16, max(0, rounds - HEALS_AT_MOST)))
