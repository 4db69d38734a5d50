"""Files of a work tree, by directory descriptors: whatever happens to the tree meanwhile, nothing outside is touched.

Every component of a path is opened below the one before it without following links, so a directory that is swapped
for a link between two steps is an error and no way out. Links are refused everywhere, also those that stay inside: the
answer says where they lead, and the file can be named by its own path. What is written appears by rename under its
name; another name of the same file (a hard link) keeps what it had.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.agent.tools.refused import Missing, ToolRefused
from sidecar.tree import looks_like_git

LISTED = 20_000
READ_BYTES = 5 * 1024 * 1024
WRITE_BYTES = 1024 * 1024
_PATH_CHARACTERS = 1_000
_DEPTH = 60

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait for the other end of a pipe, nor for somebody to give a lease on the file up.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Kind = Literal["directory", "file", "link", "other"]
Parts = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One name in a directory. `size` in bytes, 0 for what is no file."""

    name: str
    kind: Kind
    size: int = 0


class Files:
    """Reads and writes below `tree`. Every method raises ToolRefused, and for what is not there Missing."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    def parts(self, path: str) -> Parts:
        """The names that lead from the tree to `path`, () for the tree itself; an absolute path must be one of ours.

        Commands see the tree under its own path, and models copy paths from what commands print.
        """
        if any(ord(character) < 32 or ord(character) == 127 for character in path):
            raise ToolRefused("A path cannot hold control characters.")
        parts = tuple(name for name in path.split("/") if name not in {"", "."})
        if ".." in parts:
            raise ToolRefused("A path cannot hold '..': name files relative to the top of the tree.")
        if path.startswith("/"):
            parts = self._relative(parts)
        if parts[:1] == ("~",):
            raise ToolRefused("There is no home directory here: name files relative to the top of the tree.")
        if len(parts) > _DEPTH or len(path) > _PATH_CHARACTERS:
            raise ToolRefused(f"The path is too long: at most {_DEPTH} names and {_PATH_CHARACTERS} characters.")
        return parts

    def read(self, parts: Parts, *, most: int = READ_BYTES) -> bytes:
        """The content of a file of at most `most` bytes."""
        with self._place(parts) as (at, name), _speaking_of(parts):
            _refuse_other_than_file(at, name, parts)
            descriptor = os.open(name, _READ, dir_fd=at)
            with os.fdopen(descriptor, "rb") as file:
                about = os.fstat(descriptor)
                if not stat.S_ISREG(about.st_mode):  # it has been swapped since we looked
                    raise ToolRefused(f"{_shown(parts)} is no file.")
                content = file.read(most + 1) if about.st_size <= most else b""
        if max(about.st_size, len(content)) > most:
            size = max(about.st_size, len(content))
            raise ToolRefused(f"{_shown(parts)} is too large for this tool: {size:,} bytes, at most {most:,}.")
        return content

    def write(self, parts: Parts, content: bytes) -> None:
        """Put `content` at the path, whole or not at all; makes directories, keeps the mode of a file that is there."""
        if any(looks_like_git(name) for name in parts):
            raise ToolRefused(f"{_shown(parts)} belongs to git: the sidecar records the work itself.")
        if len(content) > WRITE_BYTES:
            raise ToolRefused(f"{len(content):,} bytes are too many for one file: at most {WRITE_BYTES:,}.")
        with self._place(parts, make=True) as (at, name), _speaking_of(parts):
            mode = _mode_of(at, name, parts)
            fresh = f".{secrets.token_hex(12)}.new"
            descriptor = os.open(fresh, _CREATE, 0o600, dir_fd=at)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    _give(descriptor, at)
                    os.fchmod(descriptor, mode)
                os.rename(fresh, name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                with contextlib.suppress(OSError):  # it has been taken away, and nobody minds
                    os.unlink(fresh, dir_fd=at)
                raise

    def kind(self, parts: Parts) -> Kind:
        """What is at the path: a directory or a file, nothing else is answered."""
        if not parts:
            return "directory"
        with self._place(parts) as (at, name), _speaking_of(parts):
            about = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode):
                return "directory"
            _refuse_other_than_file(at, name, parts)
            return "file"

    def entries(self, parts: Parts) -> list[Entry]:
        """What is in a directory, unsorted; at most 20,000 entries of a larger one."""
        found: list[Entry] = []
        with self._directory(parts) as at, _speaking_of(parts), os.scandir(at) as scan:
            for entry in scan:
                if len(found) == LISTED:
                    break
                with contextlib.suppress(FileNotFoundError):
                    found.append(_entry(entry))
        return found

    def _relative(self, parts: Parts) -> Parts:
        for root in (self._tree, self._tree.resolve()):
            above = root.parts[1:]
            if parts[: len(above)] == above:
                return parts[len(above) :]
        raise ToolRefused("That path lies outside: name files relative to the top of the tree.")

    @contextmanager
    def _place(self, parts: Parts, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The directory of a path, open, and its last name in it."""
        if not parts:
            raise ToolRefused("That is the tree itself, not a file in it.")
        with self._directory(parts[:-1], make=make) as at:
            yield at, parts[-1]

    @contextmanager
    def _directory(self, parts: Parts, *, make: bool = False) -> Iterator[int]:
        try:
            at = os.open(self._tree, _DIRECTORY)
        except OSError as problem:
            raise ToolRefused("The work tree is gone.") from problem
        try:
            for depth in range(len(parts)):
                deeper = _enter(at, parts[: depth + 1], make=make)
                os.close(at)
                at = deeper
            yield at
        finally:
            os.close(at)


def _enter(at: int, parts: Parts, *, make: bool) -> int:
    name = parts[-1]
    with _speaking_of(parts):
        try:
            return os.open(name, _DIRECTORY, dir_fd=at)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as problem:
            if problem.errno in {errno.ENOTDIR, errno.ELOOP}:
                _refuse_link(at, name, parts)
                raise ToolRefused(f"{_shown(parts)} is no directory.") from problem
            raise
        return _made(at, name)


def _made(at: int, name: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=at)
    descriptor = os.open(name, _DIRECTORY, dir_fd=at)
    try:
        _give(descriptor, at)
        os.fchmod(descriptor, 0o755)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _give(descriptor: int, at: int) -> None:
    """What root makes belongs to whoever owns the directory: its commands run as another user."""
    if os.geteuid() == 0:
        owner = os.fstat(at)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _mode_of(at: int, name: str, parts: Parts) -> int:
    try:
        _refuse_other_than_file(at, name, parts)
        return stat.S_IMODE(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode) & 0o777
    except FileNotFoundError:
        return 0o644


def _refuse_other_than_file(at: int, name: str, parts: Parts) -> None:
    mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode):
        raise ToolRefused(f"{_shown(parts)} is a directory.")
    _refuse_link(at, name, parts)
    if not stat.S_ISREG(mode):
        raise ToolRefused(f"{_shown(parts)} is no file but a pipe, socket or device.")


def _refuse_link(at: int, name: str, parts: Parts) -> None:
    if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
        target = readable(os.readlink(name, dir_fd=at))[:200]
        raise ToolRefused(f"{_shown(parts)} is a symbolic link to {target}; links are not followed, name the file.")


def _entry(entry: os.DirEntry[str]) -> Entry:
    if entry.is_symlink():
        return Entry(name=entry.name, kind="link")
    if entry.is_dir(follow_symlinks=False):
        return Entry(name=entry.name, kind="directory")
    if entry.is_file(follow_symlinks=False):
        return Entry(name=entry.name, kind="file", size=entry.stat(follow_symlinks=False).st_size)
    return Entry(name=entry.name, kind="other")


@contextmanager
def _speaking_of(parts: Parts) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as problem:
        raise Missing(f"There is no {_shown(parts)}.") from problem
    except PermissionError as problem:
        raise ToolRefused(f"{_shown(parts)} is closed to us by its permissions.") from problem
    except OSError as problem:
        raise ToolRefused(f"{_shown(parts)}: {problem.strerror}.") from problem


def _shown(parts: Parts) -> str:
    return readable("/".join(parts))[-200:] or "the tree"


def readable(name: str) -> str:
    """A name as text, whatever bytes it is made of."""
    return name.encode("utf-8", "backslashreplace").decode()
