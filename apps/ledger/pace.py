"""Whether money goes so much faster than it usually does that somebody should look first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median

WINDOW = timedelta(minutes=5)
HISTORY = timedelta(hours=24)
TIMES = 5
"""So many times the usual is too fast."""
FLOOR = 500_000
"""Micro-USD: what is spent in one window up to this is never too fast."""
ENOUGH = 12
"""So many windows in which anything was spent say what is usual; with fewer nothing does."""


def windows(spent: Mapping[datetime, int], now: datetime) -> list[int]:
    """Micro-USD by window, the one that ends `now` first; `spent` is by minute. What is older than a day is left."""
    sums = [0] * (HISTORY // WINDOW)
    for minute, micro in spent.items():
        number = (now - minute) // WINDOW
        if 0 <= number < len(sums):
            sums[number] += micro
    return sums


def usual(before: Iterable[int]) -> int | None:
    """What a window in which anything is spent comes to, in micro-USD; None when there were too few to say."""
    busy = [micro for micro in before if micro > 0]
    return round(median(busy)) if len(busy) >= ENOUGH else None


def runaway(before: Sequence[int], now: int) -> bool:
    """Whether the window that ends now came to far more than those `before` it usually do."""
    normal = usual(before)
    return normal is not None and now > max(FLOOR, TIMES * normal)
