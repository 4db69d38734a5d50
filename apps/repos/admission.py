"""Whether a push may come in: which references, from where, and what may be in the trees it brings.

Pure, and only of the standard library: `pre_receive.py` asks these questions inside git's own process tree.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

ZERO = "0" * 40
BRANCH_PREFIX = "refs/heads/agentcom/"
SALVAGE_PREFIX = "refs/agentcom/salvage/"

SYMLINK = 0o120000
GITLINK = 0o160000
DIRECTORY = 0o040000

MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_FILES = 2_000
MAX_COMMITS = 1_000
MAX_PACK_BYTES = 200 * 1024 * 1024
MAX_LINK_BYTES = 4096

_GIT_FILES = frozenset({".gitattributes", ".gitignore", ".gitmodules", ".mailmap"})
_SHOWN = 120


class BadAdmission(ValueError):
    """The facts that came with a push cannot be read, so nothing is admitted."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One reference that may be pushed; `base` is the commit it has to be built on, where one was assigned."""

    base: str | None = None

    @classmethod
    def read(cls, facts: Any) -> Grant:
        """From JSON; unknown keys are left for newer versions."""
        if not isinstance(facts, Mapping) or not isinstance(facts.get("base"), str | None):
            raise BadAdmission("a grant is an object with an optional base")
        return cls(base=facts.get("base"))


@dataclass(frozen=True, slots=True)
class Admission:
    """What one agent may push at this moment. Sizes are in bytes."""

    agent: str
    allow: Mapping[str, Grant] = field(default_factory=dict)
    max_file_bytes: int = MAX_FILE_BYTES
    max_files: int = MAX_FILES
    max_commits: int = MAX_COMMITS
    max_pack_bytes: int = MAX_PACK_BYTES

    @classmethod
    def read(cls, text: str) -> Admission:
        """From the JSON that the gateway wrote. BadAdmission when anything is not as expected."""
        try:
            facts = json.loads(text)
        except ValueError as error:
            raise BadAdmission("not JSON") from error
        return cls.from_facts(facts)

    @classmethod
    def from_facts(cls, facts: Any) -> Admission:
        """From plain values: `{"agent": …, "allow": {ref: {"base": …}}, "max_file_bytes": …, …}`."""
        if not isinstance(facts, Mapping) or not isinstance(facts.get("agent"), str):
            raise BadAdmission("the agent is missing")
        allow = facts.get("allow", {})
        if not isinstance(allow, Mapping) or not all(isinstance(ref, str) for ref in allow):
            raise BadAdmission("allow is an object of references")
        limits = {name: facts[name] for name in _LIMITS if facts.get(name) is not None}
        if not all(type(value) is int and value > 0 for value in limits.values()):
            raise BadAdmission("a limit is a whole number above zero")
        return cls(agent=facts["agent"], allow={ref: Grant.read(grant) for ref, grant in allow.items()}, **limits)

    def text(self) -> str:
        """The JSON that `read` takes."""
        return json.dumps(asdict(self) | {"allow": {ref: asdict(grant) for ref, grant in self.allow.items()}})


_LIMITS = ("max_file_bytes", "max_files", "max_commits", "max_pack_bytes")


@dataclass(frozen=True, slots=True)
class Update:
    """One line of a push: the reference and its object before and after; zeros for none."""

    ref: str
    old: str
    new: str

    @classmethod
    def read(cls, line: str) -> Update:
        """From `old new ref` as git hands it to hooks."""
        old, new, ref = line.rstrip("\n").split(" ", 2)
        return cls(ref=ref, old=old, new=new)

    @property
    def creates(self) -> bool:
        """Whether the reference did not exist before."""
        return not self.old.strip("0")

    @property
    def deletes(self) -> bool:
        """Whether the reference would be gone afterwards."""
        return not self.new.strip("0")

    @property
    def salvage(self) -> bool:
        """Whether it only keeps what an ended attempt left, which nobody merges from."""
        return self.ref.startswith(SALVAGE_PREFIX)


@dataclass(frozen=True, slots=True)
class Entry:
    """One changed path of one new commit: its mode, size in bytes and, for a symlink, where it points."""

    path: str
    mode: int
    size: int = 0
    target: str | None = None


def refuse_update(update: Update, admission: Admission) -> str | None:
    """Why this reference may not be touched at all, as one sentence; None when it may."""
    name = shown(update.ref)
    if update.ref not in admission.allow:
        return f"{name} is not yours to push; {_yours(admission)}."
    if update.deletes:
        return f"{name} may not be deleted."
    return None


def refuse_history(
    update: Update, admission: Admission, *, is_commit: bool, forward: bool, on_base: bool, commits: int
) -> str | None:
    """Why what the reference would point at is not acceptable; None when it is.

    `forward`: the old value is an ancestor of the new. `on_base`: the assigned base is. `commits`: how many are new.
    """
    name = shown(update.ref)
    if not is_commit:
        return f"{name} must point at a commit."
    if update.salvage:
        return None
    if not update.creates and not forward:
        return f"{name} may only move forward; the push would drop commits that are already there."
    if not on_base:
        base = admission.allow[update.ref].base or ""
        return f"{name} is not built on {base[:12]}, the commit this attempt was given."
    if commits > admission.max_commits:
        return f"{name} brings more than {admission.max_commits} commits at once."
    return None


def refuse_entry(entry: Entry, admission: Admission) -> str | None:
    """Why a changed path may not be in a tree; None when it may."""
    name = shown(entry.path)
    if is_git_directory(entry.path):
        return f"{name} would be taken for git's own files."
    if entry.mode == GITLINK:
        return f"{name} is a submodule, which agents may not add or change."
    if entry.mode == SYMLINK and (entry.target is None or leaves_tree(entry.path, entry.target)):
        return f"{name} is a symbolic link that leaves the repository."
    if entry.size > admission.max_file_bytes:
        return f"{name} has {_mebibytes(entry.size)}; a file may have {_mebibytes(admission.max_file_bytes)}."
    return None


def refuse_count(files: int, admission: Admission) -> str | None:
    """Why so many changed files at once are too many; None when they are not."""
    if files > admission.max_files:
        return f"the push changes more than {admission.max_files} files."
    return None


def is_git_directory(path: str) -> bool:
    """Whether some file system would take a part of `path` for .git, or for a git file under another spelling."""
    return any(_git_name(part) for part in path.replace("\\", "/").split("/"))


def _git_name(part: str) -> bool:
    # Windows drops streams, dots and spaces at the end; macOS drops characters that cannot be seen; both fold case.
    seen = "".join(c for c in part if unicodedata.category(c) not in {"Cf", "Cc"})
    folded = unicodedata.normalize("NFKC", seen).casefold().split(":", 1)[0].rstrip(". ")
    if folded == ".git" or folded.startswith("git~"):
        return True
    return folded in _GIT_FILES and part != folded


def leaves_tree(path: str, target: str) -> bool:
    """Whether a symbolic link at `path` could lead out of the repository or into .git.

    Only `..` at the beginning is allowed: behind another link, `..` starts from wherever that one leads.
    """
    if not target or target.startswith(("/", "\\")) or ":" in target.split("/", 1)[0] or "\0" in target:
        return True
    if is_git_directory(target):
        return True
    parts = [part for part in target.replace("\\", "/").split("/") if part not in {"", "."}]
    ups = 0
    while ups < len(parts) and parts[ups] == "..":
        ups += 1
    return ups > path.count("/") or ".." in parts[ups:]


def shown(text: str) -> str:
    """A name as it can be printed in one line of a terminal, whatever is in it."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return safe if len(safe) <= _SHOWN else safe[:_SHOWN] + "…"


def _yours(admission: Admission) -> str:
    branches: Sequence[str] = [ref.removeprefix("refs/heads/") for ref in admission.allow if not _is_salvage(ref)]
    if not branches:
        return f"{shown(admission.agent)} has no open attempt here"
    return f"{shown(admission.agent)} may push {', '.join(shown(branch) for branch in branches)}"


def _is_salvage(ref: str) -> bool:
    return ref.startswith(SALVAGE_PREFIX)


def _mebibytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"
