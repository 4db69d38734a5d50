"""Many programs on one terminal: each line says who speaks."""

from __future__ import annotations

from typing import TextIO

COLOURS = (36, 32, 33, 35, 34, 31)
WIDTH = 13


class Voices:
    """Writes `name │ line`; in colour on a terminal. Call it like a function."""

    def __init__(self, stream: TextIO) -> None:
        """Where to write."""
        self._stream = stream
        self._in_colour = stream.isatty()
        self._colours: dict[str, int] = {}

    def __call__(self, name: str, line: str) -> None:
        """Write one line of `name`."""
        label = f"{name:<{WIDTH}} │"
        if self._in_colour:
            colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            label = f"\x1b[{colour}m{label}\x1b[0m"
        print(label, line, file=self._stream, flush=True)
