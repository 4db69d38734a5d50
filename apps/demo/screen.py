"""What the demonstration writes on the terminal: aligned, as wide as there is room, in colour only on a terminal."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

WIDE = 100
"""How wide a line may be where nobody says how wide it is."""
NARROW = 90
"""Below this the titles of tasks are left out of the story; their numbers stay."""
TITLE = 32
COLOURS = {"good": 32, "bad": 31, "warn": 33, "dim": 2, "strong": 1, "link": 36}
SIGNS = {"good": "✓", "bad": "✗", "warn": "!"}
PLAIN_SIGNS = {"good": "+", "bad": "x", "warn": "!"}


@dataclass(frozen=True)
class Line:
    """One thing that happened. `subject` is `#3` for a task, `!1` for a pull request; `seconds` since the beginning."""

    seconds: float
    subject: str
    title: str
    text: str
    mood: str = ""


def clock(seconds: float) -> str:
    """`0:07`, `12:30`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def clip(text: str, width: int) -> str:
    """`text` in one line of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def layout(line: Line, width: int, sign: str) -> list[str]:
    """The lines on a terminal `width` wide: time, subject, title, what happened; the last one goes on below."""
    title = f"{clip(line.title, TITLE):<{TITLE}}  " if width >= NARROW else ""
    start = f"{clock(line.seconds):>6}  {line.subject:<4}{title}{sign or ' '} "
    room = max(20, width - len(start))
    first, *rest = textwrap.wrap(" ".join(line.text.split()), room, max_lines=4, placeholder=" …") or [""]
    return [start + first, *(" " * len(start) + more for more in rest)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Aligned columns; the first is clipped when all of them would be wider than `width`."""
    wide = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    excess = sum(wide) + 2 * (len(wide) - 1) - width
    if excess > 0:
        wide[0] = max(12, wide[0] - excess)
    shown = [[clip(cell, wide[column]).ljust(wide[column]) for column, cell in enumerate(row)] for row in (head, *rows)]
    lines = ["  ".join(row).rstrip() for row in shown]
    return [lines[0], "  ".join("-" * one for one in wide), *lines[1:]]


class Screen:
    """Writes to one stream."""

    def __init__(self, stream: TextIO, *, width: int | None = None) -> None:
        """`width` in characters; the terminal's own when it is not given."""
        self._stream = stream
        self._width = width
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR")
        self._signs = SIGNS if _can_show(stream, "✓✗…“”") else PLAIN_SIGNS

    @property
    def width(self) -> int:
        """Characters in a line, now."""
        if self._width is not None or not self._stream.isatty():
            return self._width or WIDE
        return shutil.get_terminal_size((WIDE, 24)).columns

    def say(self, text: str = "", mood: str = "") -> None:
        """A line of prose, never broken: it may hold a link or a command."""
        encoding = self._stream.encoding or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        print(self._painted(text, mood), file=self._stream, flush=True)

    def heading(self, text: str) -> None:
        """What comes now."""
        self.say()
        self.say(text, "strong")

    def prose(self, text: str, mood: str = "") -> None:
        """A paragraph, broken into lines."""
        for line in textwrap.wrap(text, self.width):
            self.say(line, mood)

    def tell(self, line: Line) -> None:
        """One line of the story."""
        for text in layout(line, self.width, self._signs.get(line.mood, "")):
            self.say(text, line.mood)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows below a head."""
        for number, line in enumerate(table(head, rows, self.width)):
            self.say(line, "dim" if number < 2 else "")

    def verdict(self, held: bool, sentence: str, why: str = "") -> None:
        """An expectation, with a tick or a cross."""
        mood = "good" if held else "bad"
        self.say(f"  {self._signs[mood]} {sentence}", mood)
        if not held and why:
            self.say(f"      {why}")

    def _painted(self, text: str, mood: str) -> str:
        return f"\x1b[{COLOURS[mood]}m{text}\x1b[0m" if self._colour and mood in COLOURS and text else text


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
