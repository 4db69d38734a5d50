"""How fast one socket may speak. Pure but for the clock it is given and the sleep of `wait`.

A sidecar that speaks too fast is read more slowly; nothing it says is thrown away, least of all a terminal report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RATE = 100.0
"""Frames a second that one socket may send for long."""
BURST = 400.0
DEAR = 50.0
"""What a frame costs that is taken apart into many rows; an honest sidecar says one every few seconds."""
MISTAKES = 20
MISTAKE_WINDOW = 60.0
"""So many unreadable frames within so many seconds end the connection."""


class Pace:
    """A token bucket that makes the reader wait, and a count of recent mistakes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = BURST
        self._at = clock()
        self._mistakes: list[float] = []

    def debt(self, tokens: float = 1) -> float:
        """Take so many tokens; the seconds to wait before the next frame may be read."""
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._at) * RATE) - tokens
        self._at = now
        return max(0.0, -self._tokens / RATE)

    async def wait(self, tokens: float = 1) -> None:
        """Read the next frame only when it is due; this one has cost so many tokens."""
        if seconds := self.debt(tokens):
            await asyncio.sleep(seconds)

    def mistake(self) -> bool:
        """Note an unreadable frame; True when there were too many lately."""
        now = self._clock()
        self._mistakes = [at for at in self._mistakes if at > now - MISTAKE_WINDOW] + [now]
        return len(self._mistakes) > MISTAKES
