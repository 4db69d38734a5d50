"""Remove a directory, whatever commands have made of it."""

from __future__ import annotations

import os
import secrets
import stat
from itertools import count
from pathlib import Path

from sidecar.descend import DIRECTORY, allow, enter


def discard(directory: Path) -> None:
    """Remove `directory` and all that is in it, closed or not, however deep; a link is removed, not followed.

    One that is not there is no error. Raises OSError.
    """
    try:
        above = os.open(directory.parent, DIRECTORY & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        discard_at(directory.name, above)
    finally:
        os.close(above)


def discard_at(name: str, above: int) -> None:
    """The same for what is called `name` in the directory that is open as `above`."""
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=above)
        return
    top = enter(name, above)
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=above)


def _empty(top: int) -> None:
    """Directories are moved to the top one by one, so that two descriptors are enough for any depth."""
    prefix, number = f".{secrets.token_hex(8)}-", count()
    waiting = _strip(top)
    while waiting:
        name = waiting.pop()
        at = enter(name, top)
        try:
            for inner in _strip(at):
                moved = f"{prefix}{next(number)}"
                os.rename(inner, moved, src_dir_fd=at, dst_dir_fd=top)
                waiting.append(moved)
        finally:
            os.close(at)
        os.rmdir(name, dir_fd=top)


def _strip(at: int) -> list[str]:
    """Remove what is no directory; the names of the directories, which may be moved from now on."""
    with os.scandir(at) as scan:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in scan]
    directories = [name for name, is_directory in entries if is_directory]
    for name, is_directory in entries:
        if not is_directory:
            os.unlink(name, dir_fd=at)
    for name in directories:  # to move one takes the right to write in it
        if os.stat(name, dir_fd=at, follow_symlinks=False).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            allow(name, at)
    return directories
