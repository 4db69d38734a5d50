"""How much of the disk the commands of one tree may take.

A quota takes rights that we do not have, so the tree is watched while a command runs. The file system is asked how much
it has left, which costs microseconds; only when so much is gone that the tree may have passed its limit is the tree
itself measured, and then again only when more is gone. What others write makes us look, and nothing more.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from sidecar.descend import descend
from sidecar.sandbox.policy import MIB, Limits, Overflow

_ENTRY_BYTES = 512  # of its name and what the file system knows of it, so that empty files count as well
_FASTEST = 4096 * MIB  # a second: no disk is expected to take more
_PAUSES = (0.01, 0.1)
_SHARE = 16  # the part of a tree's limit that may be written before it is measured again
_FLOOR_SHARE = 20  # of a small file system: the most that is kept free of it
_NODES_SHARE = 100


@dataclass(frozen=True)
class Exceeded:
    """Which limit was passed, as a stable word and as a sentence."""

    code: Overflow
    message: str


@dataclass(frozen=True)
class _Reading:
    """What the tree took, None if nobody has looked, when the file system had `free` bytes left."""

    used: int | None
    free: int

    def room(self, limits: Limits) -> int:
        """So much may be gone from the file system before the tree is worth measuring. Bytes."""
        known = limits.tree_bytes if self.used is None else self.used
        return max(limits.tree_bytes - known, limits.tree_bytes // _SHARE)

    def left(self, free: int, limits: Limits) -> int:
        """What is left of that now, below zero when it is time. Bytes."""
        return self.room(limits) - (self.free - free)


class Usage:
    """What one tree takes of the disk. Kept from one command to the next, because small steps add up.

    `exceeded` is the limit that was passed, once and for all: the commands after that are not to be started.
    """

    def __init__(self) -> None:
        self.exceeded: Exceeded | None = None
        self._rest: _Reading | None = None

    def before(self, tree: Path, limits: Limits) -> None:
        """Look before a command is started."""
        free = self._free(tree, limits)
        if self._rest is None:
            self._rest = _Reading(None, free)

    async def watch(self, tree: Path, limits: Limits) -> Exceeded:
        """The limit that is passed, when one is. What is moved about meanwhile may be missed, until `after`."""
        last = self._rest or _Reading(None, self._free(tree, limits))
        measuring: asyncio.Task[int] | None = None
        try:
            while True:
                free = self._free(tree, limits)
                if self.exceeded:
                    return self.exceeded
                if measuring is None and last.left(free, limits) < 0:
                    measuring, last = asyncio.create_task(_measured(tree)), _Reading(None, free)
                await _wait(measuring, min(last.left(free, limits), free))
                if measuring is not None and measuring.done():
                    last, measuring = _Reading(measuring.result(), last.free), None
                    self._weigh(last, limits)
        finally:
            if measuring is not None:
                measuring.cancel()

    async def after(self, tree: Path, limits: Limits) -> None:
        """Look when nothing of the command runs any more and the tree holds still."""
        free = _space(tree).free
        if self.exceeded is None and self._rest is not None and self._rest.left(free, limits) < 0:
            self._rest = _Reading(await _measured(tree), free)
            self._weigh(self._rest, limits)

    def _weigh(self, reading: _Reading, limits: Limits) -> None:
        if reading.used is not None and reading.used > limits.tree_bytes:
            self.exceeded = Exceeded(
                "tree_too_large", f"The work tree takes more than {limits.tree_bytes // MIB} MB of the disk."
            )

    def _free(self, tree: Path, limits: Limits) -> int:
        """Bytes that the file system has left for us; too few are remembered."""
        space = _space(tree)
        least = min(limits.free_bytes, space.size // _FLOOR_SHARE)
        if space.free < least:
            self.exceeded = Exceeded("disk_full", f"The disk of this machine has less than {least // MIB} MB left.")
        elif limits.free_bytes and space.free_nodes < space.nodes // _NODES_SHARE:
            self.exceeded = Exceeded("disk_full", "The disk of this machine has no room for more files.")
        return space.free


@dataclass(frozen=True)
class _Space:
    """Of a file system: its size and what is free for ordinary users, in bytes and in files (0 of 0 where not said)."""

    size: int
    free: int
    nodes: int
    free_nodes: int


def _space(tree: Path) -> _Space:
    try:
        said = os.statvfs(tree)
    except OSError:  # without walls a command can remove the tree itself
        said = os.statvfs(tree.parent)
    return _Space(said.f_blocks * said.f_frsize, said.f_bavail * said.f_frsize, said.f_files, said.f_favail)


async def _wait(measuring: asyncio.Task[int] | None, room: int) -> None:
    """As long as it takes the fastest disk to take this many bytes, or until the measuring is done."""
    least, most = _PAUSES
    seconds = min(max(room / _FASTEST, least), most)
    if measuring is None:
        await asyncio.sleep(seconds)
    else:
        await asyncio.wait({measuring}, timeout=seconds)


async def _measured(tree: Path) -> int:
    """`allocated` in a thread, which stops when nobody waits for it any more."""
    unwanted = threading.Event()
    try:
        return await asyncio.to_thread(allocated, tree, unwanted)
    finally:
        unwanted.set()


def allocated(tree: Path, unwanted: threading.Event) -> int:
    """Bytes that the disk holds for everything below `tree`, like `du`; a file with several names counts once.

    Of a tree that changes meanwhile, or when it is `unwanted`, it is what was seen until then.
    """
    total = 0
    seen: set[int] = set()
    try:
        for found in descend(tree):
            if unwanted.is_set():
                break
            try:
                about = found.entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if about.st_nlink > 1 and not stat.S_ISDIR(about.st_mode):
                if about.st_ino in seen:
                    continue
                seen.add(about.st_ino)
            total += about.st_blocks * 512 + _ENTRY_BYTES
    except OSError:  # a directory was moved away, or the tree is gone
        return total
    return total
