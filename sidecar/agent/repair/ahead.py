"""Looking ahead in a text that is gone through once, without going through it again each time. (pure)"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from functools import cached_property

_NEVER = sys.maxsize


class Ahead:
    """Where a pattern comes next; no part of the text is searched twice, as long as places come in order."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._pattern = pattern
        self._text = text
        self._next: tuple[int, int] = (-1, -1)

    def ends(self, at: int) -> int:
        """The end of the next match that begins at `at` or after it; far beyond the text when there is none."""
        if self._next[0] < at:
            found = self._pattern.search(self._text, at)
            self._next = found.span() if found else (_NEVER, _NEVER)
        return self._next[1]


class Runs:
    """Where runs of one sign begin, by their length."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._pattern = pattern
        self._text = text

    def next(self, length: int, at: int) -> int | None:
        """The next run of just this length that begins at `at` or after it."""
        places = self._places.get(length, [])
        index = bisect_left(places, at)
        return places[index] if index < len(places) else None

    @cached_property
    def _places(self) -> dict[int, list[int]]:
        places: dict[int, list[int]] = {}
        for run in self._pattern.finditer(self._text):
            places.setdefault(len(run[0]), []).append(run.start())
        return places
