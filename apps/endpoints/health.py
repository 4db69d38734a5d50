"""Whether an endpoint can be counted on. Pure.

One miss says nothing, two in a row say that it is down, one answer that it is back.
"""

from __future__ import annotations

from enum import StrEnum

MISSES = 2


class Health(StrEnum):
    """`UNKNOWN` is not `DOWN`: what nobody has looked at yet may well answer."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        """For a field."""
        return [(health.value, health.value) for health in cls]


def after(health: Health, misses: int, *, answered: bool) -> tuple[Health, int]:
    """What another look makes of it: its health, and how many looks in a row it has missed."""
    if answered:
        return Health.UP, 0
    misses = min(misses + 1, MISSES)
    return (Health.DOWN if misses >= MISSES else health), misses
