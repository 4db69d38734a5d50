"""Find lines in the files below a path. `search.py PATH PATTERN`, in the tree; whoever starts it sets a deadline.

Prints a JSON line for each match, `[path, line, text]`, at once, so that those found before the deadline are not lost;
then a JSON object: `matches` in all, and whether the pattern was taken as plain text because it is no expression.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator

_MOST_MATCHES = 100
_MOST_CHARACTERS = 12_000
_MOST_BYTES = 5 * 1024 * 1024
_LINE = 200
_SKIPPED = {".git", "node_modules", "__pycache__", ".venv", ".tox", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def main(path: str, pattern: str) -> None:
    """Search, print, and say how many there were."""
    wanted, is_plain = compiled(pattern)
    matches, characters = 0, 0
    for name in files(path):
        for number, text in found(wanted, name):
            matches += 1
            line = json.dumps([shown(name), number, text])
            characters += len(line) + 1
            if matches <= _MOST_MATCHES and characters <= _MOST_CHARACTERS:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    sys.stdout.write(json.dumps({"matches": matches, "plain": is_plain}))


def compiled(pattern: str) -> tuple[re.Pattern[str], bool]:
    """The expression, and whether it is the pattern's own characters."""
    try:
        return re.compile(pattern), False
    except (re.error, OverflowError, RecursionError, MemoryError):
        return re.compile(re.escape(pattern)), True


def files(path: str) -> Iterator[str]:
    """Paths of files below `path` in their order, links not followed."""
    if not os.path.isdir(path):  # noqa: PTH112 - pathlib would double the time this takes to start
        yield os.path.normpath(path)
    for directory, below, names in os.walk(path):
        below[:] = sorted(name for name in below if name.lower() not in _SKIPPED)
        for name in sorted(names):
            yield os.path.normpath(os.path.join(directory, name))  # noqa: PTH118 - see above


def found(wanted: re.Pattern[str], name: str) -> Iterator[tuple[int, str]]:
    """Matching lines of one file by number; a binary, large or closed file has none."""
    for number, line in enumerate(lines(name), start=1):
        match = wanted.search(line)
        if match:
            start = max(min(match.start() - 40, len(line) - _LINE), 0)
            yield number, line[start : start + _LINE]


def lines(name: str) -> list[str]:
    """The lines of a file that is a text, not too large, and ours to read."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_size > _MOST_BYTES:
            return []
        content = file.read(_MOST_BYTES)
    return [] if b"\0" in content else content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")


def shown(name: str) -> str:
    """A name as text, whatever bytes it is made of."""
    return name.encode("utf-8", "backslashreplace").decode()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
