"""Files in which somebody left the marks of a merge: `<<<<<<< `, `=======`, `>>>>>>> `, in order, at line starts.

A rule of `=======` alone is none, nor are marks that stand indented or within a line. A file that quotes a whole
conflict at line starts, as a test or a manual may, cannot be told from one that has it, and counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from apps.repos import trusted
from apps.repos.trusted import GitFailed, valid_commit

BEGINS, PARTS, ENDS = "^<<<<<<< ", "^=======[[:space:]]*$", "^>>>>>>> "
MOST_BYTES = 1024 * 1024
"""Of marks, not of files; what comes after so many is not looked at."""
MOST_FILES = 20
_FOUND = re.compile(rb"([^\0]+)\0(\d+)\0([^\n]*)\n")


@dataclass(frozen=True)
class Mark:
    """One line that could belong to a conflict; `text` is what marks it."""

    path: str
    line: int
    text: str


@dataclass(frozen=True)
class Conflict:
    """A file with a whole conflict in it, and the line where the first one begins."""

    path: str
    line: int


def find(mirror: Path, commit: str) -> list[Conflict]:
    """The files of the commit's tree that hold conflicts, at most `MOST_FILES`. Raises GitFailed."""
    return list(conflicts(_marks(mirror, valid_commit(commit))))[:MOST_FILES]


def conflicts(marks: Iterable[Mark]) -> Iterator[Conflict]:
    """The first whole conflict of each file; `marks` come file by file, in the order of their lines."""
    for path, lines in groupby(marks, key=lambda mark: mark.path):
        if begins := _first(lines):
            yield Conflict(path, begins)


def _first(marks: Iterable[Mark]) -> int:
    begins, parted = 0, False
    for mark in marks:
        if mark.text.startswith("<"):
            begins, parted = mark.line, False
        elif mark.text.startswith("="):
            parted = bool(begins)
        elif parted:
            return begins
    return 0


def _marks(mirror: Path, commit: str) -> Iterator[Mark]:
    """Only files that have all three are printed, and of their lines only the marks."""
    args = ("grep", "--all-match", "-z", "-I", "-n", "-o", "-e", BEGINS, "-e", PARTS, "-e", ENDS, commit, "--")
    try:
        out = b"".join(trusted.chunks(mirror, *args, max_bytes=MOST_BYTES))
    except GitFailed as failed:
        if failed.code == 1:  # nothing found
            return
        raise
    for name, line, text in _FOUND.findall(out):
        path = name.removeprefix(f"{commit}:".encode()).decode("utf-8", "backslashreplace")
        yield Mark(path, int(line), text.decode("ascii", "replace"))
