"""What the processes of the demonstration say, in files, so that the terminal is free for the story."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

TAIL = 12


class Logs:
    """One file for each process. Call it as the supervisor does: with a name and a line."""

    def __init__(self, directory: Path, *, aloud: Callable[[str], None]) -> None:
        """`aloud` gets what the supervisor itself has to say."""
        self._directory = directory
        self._aloud = aloud
        self._files: dict[str, TextIO] = {}
        self._ends: dict[str, deque[str]] = {}

    def __call__(self, name: str, line: str) -> None:
        """Write one line of `name`."""
        if name == "supervisor":
            self._aloud(line)
        if name not in self._files:
            self._files[name] = (self._directory / f"{name}.log").open("a", encoding="utf-8", buffering=1)
            self._ends[name] = deque(maxlen=TAIL)
        self._files[name].write(line + "\n")
        self._ends[name].append(line)

    def ends(self) -> list[str]:
        """The last lines of every process, each with its name."""
        return [f"{name} | {line}" for name, lines in sorted(self._ends.items()) for line in lines]

    def close(self) -> None:
        """Nothing is written any more."""
        for file in self._files.values():
            file.close()
        self._files.clear()
