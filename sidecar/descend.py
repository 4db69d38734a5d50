"""Go through a tree that commands have made, whatever they made of it: any depth, links, closed directories.

By descriptors and one name at a time. A path of more than 4,096 bytes means nothing to the kernel, Python's own walks
recurse or keep every directory on the way open, and what is a directory now may be a link a moment later.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TO_LOOK = stat.S_IRUSR | stat.S_IXUSR
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Found(NamedTuple):
    """One entry of the directory that is open as `at`, to which `parts` lead. Both hold until the next one is asked.

    `above` is how many bytes of its path come before its name.
    """

    at: int
    parts: Sequence[str]
    above: int
    entry: os.DirEntry[str]

    @property
    def path(self) -> str:
        """Where it is, from the top; it may be longer than the kernel takes."""
        return "/".join([*self.parts, self.entry.name])

    @property
    def length(self) -> int:
        """Bytes of its path."""
        return self.above + len(os.fsencode(self.entry.name))


def descend(tree: Path, into: Callable[[Found], bool] = lambda _: True) -> Iterator[Found]:
    """Every entry below `tree`, a directory before what is in it; no link is followed, no other file system entered.

    `into` says of a directory whether to go on in it. Directories that are closed to us are opened. Raises OSError; it
    is ESTALE when a directory was moved meanwhile.
    """
    way = _Way(tree)
    waiting: list[list[str]] = [[]]
    try:
        yield from way.entries(into, waiting[-1])
        while waiting:
            if not waiting[-1]:
                waiting.pop()
                if waiting:
                    way.up()
            elif way.down(waiting[-1].pop()):
                waiting.append([])
                yield from way.entries(into, waiting[-1])
    finally:
        os.close(way.at)


class _Way:
    """The one directory that is open, and how it was come by."""

    def __init__(self, tree: Path) -> None:
        above = os.open(tree.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.at = enter(tree.name, above, _TO_LOOK)
        finally:
            os.close(above)
        self._parts: list[str] = []
        self._above = 0
        self._passed = [_identity(self.at)]

    def entries(self, into: Callable[[Found], bool], below: list[str]) -> Iterator[Found]:
        """What is in it; the names of directories to go on in are added to `below`."""
        with os.scandir(self.at) as scan:
            for entry in scan:
                found = Found(self.at, self._parts, self._above, entry)
                yield found
                if entry.is_dir(follow_symlinks=False) and into(found):
                    below.append(entry.name)

    def down(self, name: str) -> bool:
        """Into a directory in it; False when there is none, any more, or it is another file system's."""
        try:
            inner = enter(name, self.at, _TO_LOOK)
        except OSError as problem:
            if problem.errno in _GONE:
                return False
            raise
        found = _identity(inner)
        if found[0] != self._passed[0][0]:
            os.close(inner)
            return False
        os.close(self.at)
        self.at = inner
        self._parts.append(name)
        self._above += len(os.fsencode(name)) + 1
        self._passed.append(found)
        return True

    def up(self) -> None:
        """Back to where it was entered from."""
        above = os.open("..", DIRECTORY, dir_fd=self.at)
        os.close(self.at)
        self.at = above
        self._above -= len(os.fsencode(self._parts.pop())) + 1
        self._passed.pop()
        if _identity(above) != self._passed[-1]:
            raise OSError(errno.ESTALE, "A directory was moved")


def enter(name: str, at: int, rights: int = stat.S_IRWXU) -> int:
    """A descriptor of the directory `name` in the one that is open as `at`; its owner gets the `rights` it lacks."""
    try:
        inner = os.open(name, DIRECTORY, dir_fd=at)
    except PermissionError:
        allow(name, at, rights)
        inner = os.open(name, DIRECTORY, dir_fd=at)
    mode = os.fstat(inner).st_mode
    if mode & rights != rights:
        os.fchmod(inner, stat.S_IMODE(mode) | rights)
    return inner


def allow(name: str, at: int, rights: int = stat.S_IRWXU) -> None:
    """Give the owner these rights to a file or directory besides those it has; a link is neither and not followed."""
    if not hasattr(os, "O_PATH"):
        mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
        os.chmod(name, stat.S_IMODE(mode) | rights, dir_fd=at, follow_symlinks=False)
        return
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        mode = os.fstat(place).st_mode
        if not stat.S_ISLNK(mode):
            Path(f"/proc/self/fd/{place}").chmod(stat.S_IMODE(mode) | rights)
    finally:
        os.close(place)


def _identity(at: int) -> tuple[int, int]:
    found = os.fstat(at)
    return found.st_dev, found.st_ino
