"""What changed between two commits, computed from their objects: facts for decisions, a patch for people.

Everything is measured from the point where the two lines of history parted, as a pull request shows it. Names and lines
are what somebody else wrote: `visible` makes them safe to show.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.events.refused import Refused
from apps.repos import mirror, trusted
from apps.repos.trusted import git

SYMLINK = "120000"
GITLINK = "160000"
EXECUTABLE = "100755"
MAX_PATCH = 1024 * 1024
MAX_WHOLE = 256 * 1024 * 1024
MAX_LINE = 2_000

_FLAGS = (
    "-r",
    "-M",
    "-l1000",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-abbrev",
    "--ignore-submodules=none",
)
_HUNK = re.compile(rb"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)$", re.DOTALL)
_KINDS = {b"+": "add", b"-": "del", b" ": "context"}


class Unrelated(Refused):
    """The two commits share no history, so there is no difference to speak of."""


class TooLarge(Refused):
    """The difference has more than {max_bytes} bytes, too many to compare line by line."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One changed file. `status` is A, M, D, R (renamed) or T (became another kind of thing)."""

    path: str
    status: str
    old_path: str | None = None
    added: int = 0
    deleted: int = 0
    binary: bool = False
    old_mode: str = "100644"
    new_mode: str = "100644"

    @property
    def mode_changed(self) -> bool:
        """Whether a kept file got another mode, such as executable."""
        return self.status in "MRT" and self.old_mode != self.new_mode

    @property
    def symlink(self) -> bool:
        """Whether it is a symbolic link now."""
        return self.new_mode == SYMLINK

    @property
    def gitlink(self) -> bool:
        """Whether a submodule is or was there."""
        return GITLINK in {self.old_mode, self.new_mode}

    @property
    def shown(self) -> str:
        """The path, or both of a rename, safe to show."""
        if self.old_path and self.old_path != self.path:
            return f"{visible(self.old_path)} → {visible(self.path)}"
        return visible(self.path)


@dataclass(frozen=True, slots=True)
class DiffFacts:
    """All changed files between `base`, where the histories parted, and `head`."""

    base: str
    head: str
    files: tuple[FileChange, ...] = ()

    @property
    def added(self) -> int:
        """Lines added in all text files."""
        return sum(file.added for file in self.files)

    @property
    def deleted(self) -> int:
        """Lines deleted in all text files."""
        return sum(file.deleted for file in self.files)

    @property
    def lines(self) -> int:
        """Lines added and deleted."""
        return self.added + self.deleted

    @property
    def new_files(self) -> int:
        """How many files there are that were not there before."""
        return sum(file.status == "A" for file in self.files)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk: `kind` is add, del, context or note; numbers are None on the side it is not on."""

    kind: str
    text: str
    old: int | None = None
    new: int | None = None

    @property
    def shown(self) -> str:
        """The text safe to show, cut when it is very long."""
        return visible(self.text) if len(self.text) <= MAX_LINE else visible(self.text[:MAX_LINE]) + " …"


@dataclass(slots=True)
class Hunk:
    """Lines that belong together; `heading` is the function or section git found them in."""

    heading: str
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class FilePatch:
    """One file of a patch. `truncated`: not all of it is here."""

    change: FileChange
    hunks: list[Hunk] = field(default_factory=list)
    truncated: bool = False


@dataclass(slots=True)
class Patch:
    """A difference for display, every changed file in it. `truncated`: at least one file is not whole."""

    facts: DiffFacts
    files: list[FilePatch] = field(default_factory=list)

    @property
    def truncated(self) -> bool:
        """Whether something was left out."""
        return any(file.truncated for file in self.files)


def visible(text: str) -> str:
    """The text with every character that cannot be seen, or that turns others around, written out as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\t" or not _hidden(c) else c.encode("unicode_escape").decode() for c in text)


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def facts(path: Path, base: str, head: str) -> DiffFacts:
    """What `head` changes since it left `base`. Unrelated when the two share no history."""
    start = _start(path, base, head)
    out = git(path, "diff-tree", *_FLAGS, "--raw", "--numstat", "-z", start, head, "--")
    return DiffFacts(base=start, head=head, files=tuple(_files(out)))


def _start(path: Path, base: str, head: str) -> str:
    start = mirror.merge_base(path, base, head)
    if start is None:
        raise Unrelated("unrelated", base=base, head=head)
    return start


def _files(out: bytes) -> Iterator[FileChange]:
    """Raw entries come first, then the counts in the same order, all separated by NUL."""
    fields = out.split(b"\0")[:-1]
    raw: list[tuple[str, str, str, bytes, bytes | None]] = []
    at = 0
    while at < len(fields) and fields[at].startswith(b":"):
        old_mode, new_mode, _, _, status = fields[at][1:].decode().split(" ")
        renamed = status[0] in "RC"
        old = fields[at + 1] if renamed else None
        raw.append((old_mode, new_mode, status[0], fields[at + 2 if renamed else at + 1], old))
        at += 3 if renamed else 2
    for old_mode, new_mode, status, name, old in raw:
        added, deleted, rest = fields[at].split(b"\t", 2)
        at += 1 if rest else 3  # a rename's two names follow as fields of their own
        yield FileChange(
            path=_name(name),
            status=status,
            old_path=_name(old) if old is not None else None,
            added=0 if added == b"-" else int(added),
            deleted=0 if deleted == b"-" else int(deleted),
            binary=added == b"-",
            old_mode=old_mode,
            new_mode=new_mode,
        )


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def patch(path: Path, base: str, head: str, *, max_bytes: int = MAX_PATCH, context: int = 3) -> Patch:
    """The difference file by file. About `max_bytes` are kept, at most a quarter of that of one file."""
    known = facts(path, base, head)
    result = Patch(facts=known, files=[FilePatch(change=change) for change in known.files])
    _Reader(result, max_bytes).read(_patch_lines(path, known, context, 16 * max_bytes))
    return result


def text(path: Path, base: str, head: str, *, paths: Sequence[str] = (), max_bytes: int) -> str:
    """The first `max_bytes` of the difference as git writes it, of these `paths` only when there are any.

    As `visible` as its lines can be made; whether something was cut off is for the caller to see by its length.
    """
    start = _start(path, base, head)
    names = [f":(literal,top){name}" for name in paths]
    args = ("diff-tree", *_FLAGS, "-p", "-U3", "--src-prefix=a/", "--dst-prefix=b/", start, head, "--", *names)
    said = b"".join(trusted.chunks(path, *args, max_bytes=max_bytes)).decode("utf-8", "replace")
    return "\n".join(visible(line) for line in said.split("\n"))


def _patch_lines(path: Path, known: DiffFacts, context: int, max_bytes: int) -> Iterator[bytes]:
    args = (
        "diff-tree",
        *_FLAGS,
        "-p",
        f"-U{context}",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        known.base,
        known.head,
        "--",
    )
    # What is cut off here is found missing by its counts.
    with contextlib.suppress(TooLarge):
        yield from _lines(path, args, max_bytes)


class _Reader:
    """Puts the lines of a patch into the files they belong to; git writes them in the order of the facts."""

    def __init__(self, patch: Patch, max_bytes: int) -> None:
        # A file that became another kind of thing is written as one that goes and one that comes.
        self._sections = [file for file in patch.files for _ in range(2 if file.change.status == "T" else 1)]
        self._left = max_bytes
        self._share = max_bytes // 4
        self._section = -1
        self._in_file = 0
        self._old = self._new = 0
        self._hunk: Hunk | None = None

    def read(self, lines: Iterator[bytes]) -> None:
        for line in lines:
            if line.startswith(b"diff --git "):
                self._section += 1
                self._in_file = 0
                self._hunk = None
            elif 0 <= self._section < len(self._sections):
                self._line(self._sections[self._section], line)
            if self._left <= 0:
                break
        self._mark_unread()

    def _mark_unread(self) -> None:
        for section in self._sections[max(self._section, 0) :]:
            change = section.change
            kept = sum(line.kind in {"add", "del"} for hunk in section.hunks for line in hunk.lines)
            if not change.binary and kept < change.added + change.deleted:
                section.truncated = True

    def _line(self, file: FilePatch, line: bytes) -> None:
        if file.truncated:
            return
        if found := _HUNK.match(line):
            self._old, self._new = int(found[1]), int(found[2])
            self._hunk = Hunk(heading=found[3].decode("utf-8", "replace"))
            file.hunks.append(self._hunk)
        elif self._hunk is not None:
            self._keep(file, self._hunk, line)

    def _keep(self, file: FilePatch, hunk: Hunk, line: bytes) -> None:
        self._in_file += len(line)
        self._left -= len(line)
        if self._in_file > self._share or self._left <= 0:
            file.truncated = True
            return
        kind = _KINDS.get(line[:1], "note")
        text = line[1:].decode("utf-8", "replace")
        old = self._old if kind in {"del", "context"} else None
        new = self._new if kind in {"add", "context"} else None
        hunk.lines.append(Line(kind=kind, text=text, old=old, new=new))
        self._old += old is not None
        self._new += new is not None


def patch_id(path: Path, base: str, head: str) -> str:
    """A digest of what is added and removed where, whatever lines stand around it; equal patches have equal ids."""
    start = _start(path, base, head)
    digest = hashlib.sha256()
    for line in changed_lines(path, start, head):
        digest.update(line + b"\n")
    return digest.hexdigest()


def changed_lines(path: Path, old: str, new: str) -> Iterator[bytes]:
    """The added and removed lines between two commits as `+…` and `-…`, and a line `=path` before those of each file.

    Without context, so that the same change on another base reads the same. Binary content stands as its object id.
    """
    args = ("diff-tree", *_FLAGS, "--no-renames", "-p", "-U0", "--full-index", "--binary", "--src-prefix=a/",
            "--dst-prefix=b/", old, new, "--")  # fmt: skip
    body = False
    for line in _lines(path, args, MAX_WHOLE):
        if line.startswith(b"diff --git "):
            body = False
            yield b"=" + line[len(b"diff --git ") :]
        elif line.startswith((b"@@ ", b"GIT binary patch")):
            body = True
        elif (body and line) or line.startswith((b"old mode ", b"new mode ", b"new file ", b"deleted file ")):
            yield line


def _lines(path: Path, args: tuple[str, ...], max_bytes: int) -> Iterator[bytes]:
    read, rest = 0, b""
    for piece in trusted.chunks(path, *args, max_bytes=max_bytes + 1):
        read += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if read > max_bytes:
        raise TooLarge("diff_too_large", max_bytes=max_bytes)
    if rest:
        yield rest
