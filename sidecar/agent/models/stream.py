"""Notice, while a model speaks, that it only repeats itself. (pure)"""

from __future__ import annotations

_SHORTEST_UNIT = 20
_LONGEST_UNIT = 200
_TIMES = 4
_AT_LEAST = 400  # fewer characters than this also come to pass in honest tables and rulers
_STUTTERS = 30
_KEPT = max(_AT_LEAST, _TIMES * _LONGEST_UNIT)


class Tail:
    """The last characters of a text that is still growing."""

    def __init__(self) -> None:
        self._end = ""

    def feed(self, words: str) -> None:
        """Take what was said next."""
        self._end = (self._end + words)[-_KEPT:]

    def loops(self) -> bool:
        """Whether it ends in one unit of 20 to 200 characters, said at least four times and over at least 400."""
        return any(
            _repeats(self._end, unit, max(_AT_LEAST, _TIMES * unit))
            for unit in range(_SHORTEST_UNIT, _LONGEST_UNIT + 1)
        )

    def stutters(self) -> bool:
        """Whether it ends in one word (or in blanks) said thirty times: after that, Ollama breaks off without a word.

        Ollama compares tokens without the blanks around them, and so do we.
        """
        words = "".join(self._end.split())
        blanks = len(self._end) - len(self._end.rstrip())
        return blanks >= _STUTTERS or any(_repeats(words, unit, _STUTTERS * unit) for unit in range(1, _SHORTEST_UNIT))


def _repeats(text: str, unit: int, span: int) -> bool:
    end = text[-span:]
    return len(end) == span and end[unit:] == end[:-unit]
