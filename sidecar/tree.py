"""A look over a tree that commands have written, before git gets to see it; and over what would be recorded of it."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sidecar.descend import Found, allow, descend
from sidecar.discard import discard

MAX_ENTRIES = 500_000
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_WORK_BYTES = 2 * 1024**3
"""Of all files that an attempt adds or changes; the hub takes far less in one push."""
MAX_PATH_BYTES = 3_072
"""Of a path within the tree. The kernel takes 4,095 of one, with the directories that the tree is in."""
MAX_ODD = 10_000
"""Of each kind, so that a list of long paths has an end."""
EMBEDDED_AS = "dot-git"

_NAME_CHARACTERS = 500
_HFS_IGNORES = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"
_SHORT_NAME = re.compile(r"git~\d+\Z")
_ALLOWED = {".gitignore", ".gitattributes", ".gitkeep", ".github", ".gitlab", ".gitea", ".gitlab-ci.yml"}


class NotAWork(Exception):
    """The tree holds something that cannot be recorded as it is. `code` names it, `paths` say where (a few)."""

    def __init__(self, code: str, message: str, paths: list[str]) -> None:
        super().__init__(f"{message}: {', '.join(paths[:5])}" if paths else message)
        self.code = code
        self.paths = paths[:20]


@dataclass
class Findings:
    """What is odd in a tree, by paths relative to it; and how many bytes all of its files have."""

    embedded: list[Path] = field(default_factory=list)
    special: list[Path] = field(default_factory=list)
    large: list[Path] = field(default_factory=list)
    deep: list[Path] = field(default_factory=list)
    size: int = 0

    def all(self) -> list[Path]:
        """Every odd path."""
        return [*self.embedded, *self.special, *self.large, *self.deep]

    def without(self, ignored: set[Path]) -> Findings:
        """What is left when `ignored` does not matter."""
        odd = (self.embedded, self.special, self.large, self.deep)
        embedded, special, large, deep = ([path for path in paths if path not in ignored] for paths in odd)
        return Findings(embedded, special, large, deep, self.size)


def refuse_odd(found: Findings, ignored: set[Path]) -> None:
    """Raise NotAWork for what git must not even look at, unless `.gitignore` keeps git away from it.

    A repository inside the tree is such: git would ask it, by its own configuration, whether it has changed.
    """
    odd = found.without(ignored)
    for code, message, paths in (
        ("embedded_repository", "There is a git repository inside the work", odd.embedded),
        ("special_file", "The work holds something that is no file", odd.special),
        ("file_too_large", f"The work holds a file of more than {MAX_FILE_BYTES // 2**20} MB", odd.large),
        ("path_too_long", f"The work holds a path of more than {MAX_PATH_BYTES} bytes", odd.deep),
    ):
        if paths:
            raise NotAWork(code, message, _names(paths))


def survey(tree: Path) -> Findings:
    """Walk the tree without following anything and say what is odd; what was made unreadable becomes readable again.

    Raises NotAWork when there is no tree, or no end to it or to what is odd in it.
    """
    if not tree.is_dir() or tree.is_symlink():
        raise NotAWork("tree_missing", "The work tree has been removed", [])
    found = Findings()
    for number, one in enumerate(descend(tree, _is_of_the_work), start=1):
        if number > MAX_ENTRIES:
            raise NotAWork("too_many_files", f"The work tree has more than {MAX_ENTRIES} entries", [])
        odd = _kind_of(one, found)
        if odd is not None:
            odd.append(Path(one.path))
            if len(odd) > MAX_ODD:
                raise NotAWork("too_many_files", f"More than {MAX_ODD} entries of the work tree cannot be recorded", [])
    return found


def _is_of_the_work(one: Found) -> bool:
    return not _is_git(one.entry.name) and one.length <= MAX_PATH_BYTES


def _is_git(name: str) -> bool:
    return name.casefold() == ".git"


def _kind_of(one: Found, found: Findings) -> list[Path] | None:
    """The list that it belongs into, if it is odd."""
    if _is_git(one.entry.name):
        return None if not one.parts and one.entry.name == ".git" else found.embedded
    if one.length > MAX_PATH_BYTES:
        return found.deep
    about = one.entry.stat(follow_symlinks=False)
    if stat.S_ISREG(about.st_mode):
        found.size += about.st_size
        if not about.st_mode & stat.S_IRUSR:
            allow(one.entry.name, one.at, stat.S_IRUSR)
        return found.large if about.st_size > MAX_FILE_BYTES else None
    return None if stat.S_ISDIR(about.st_mode) or stat.S_ISLNK(about.st_mode) else found.special


def disarm(tree: Path, found: Findings) -> None:
    """Make everything recordable: repositories inside become plain directories; what is no file or too deep goes."""
    for path in found.deep:
        discard(tree / path)
    for path in found.special:
        (tree / path).unlink()
    for path in sorted(found.embedded, key=lambda path: len(path.parts), reverse=True):
        (tree / path).rename(free_name(tree / path.with_name(EMBEDDED_AS)))


def free_name(path: Path) -> Path:
    """`path`, or the first one like it that nothing has yet."""
    number = 1
    candidate = path
    while os.path.lexists(candidate):
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def looks_like_git(name: str) -> bool:
    """Whether some file system would take `name` for git's own, other than the few that belong in a work tree."""
    bare = unicodedata.normalize("NFC", "".join(c for c in name if c not in _HFS_IGNORES)).casefold().rstrip(". ")
    bare = bare.partition(":")[0]  # NTFS streams
    if name in _ALLOWED:
        return False
    return (
        bare in {".git", ".gitmodules"} or bool(_SHORT_NAME.match(bare)) or (bare in _ALLOWED and name not in _ALLOWED)
    )


def leaves(path: str, target: str) -> bool:
    """Whether a symbolic link at `path` (relative to the tree) to `target` may point out of the tree.

    `..` after a name counts as leaving: where it leads depends on whether that name is a link itself.
    """
    parts = PurePosixPath(target).parts
    up = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    depth = len(PurePosixPath(path).parts) - 1
    return target.startswith("/") or not target or "\0" in target or up > depth or ".." in parts[up:]


def _names(paths: list[Path]) -> list[str]:
    names = [str(path).encode("utf-8", "backslashreplace").decode() for path in paths[:20]]
    return [name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}…" for name in names]
