"""Merging inside the bare mirror, without a work tree: what a merge would give, and doing it once and whole.

The branch moves by one compare-and-swap, and only after the result was compared with what the pull request promised.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from apps.events.refused import Refused, Stale
from apps.repos import mirror, trusted
from apps.repos.diff import Unrelated, changed_lines
from apps.repos.trusted import GitFailed, git, git_status, valid_branch, valid_commit

Method = Literal["merge", "squash"]
MERGE_TREE_SINCE = (2, 38)


class Unsupported(Refused):
    """Merging needs git 2.38 or newer on the hub; this one is {version}."""


class BranchMissing(Refused):
    """There is no branch {branch} to merge into."""


class AlreadyMerged(Refused):
    """{branch} already holds this work."""


class NothingToMerge(Refused):
    """Merging would change nothing in {branch}."""


class Conflict(Refused):
    """The work conflicts with {branch} in {count} files."""

    def __init__(self, branch: str, files: tuple[str, ...]) -> None:
        what = "1 file" if len(files) == 1 else f"{len(files)} files"
        super().__init__("conflict", f"The work conflicts with {branch} in {what}.", branch=branch, files=list(files))
        self.files = files


class PatchMissing(Refused):
    """The merged tree of {branch} would not hold exactly what was reviewed ({path}), so nothing was moved."""


class BranchMoved(Stale):
    """{branch} moved in the meantime."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a commit is by."""

    name: str
    email: str

    def __post_init__(self) -> None:
        for part in (self.name, self.email):
            if not part.strip() or not part.isprintable() or any(c in part for c in "<>"):
                raise trusted.Invalid("identity", part, "it is empty or holds < > or control characters")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What merging would give: the tree it was tried on `base` for, and the files in conflict, if any."""

    base: str
    head: str
    tree: str
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge commit that exists; `onto` is what the branch was at, and has to be still when it lands."""

    branch: str
    commit: str
    onto: str
    head: str
    tree: str


@functools.cache
def _require_merge_tree() -> None:
    version = trusted.version()
    if version < MERGE_TREE_SINCE:
        raise Unsupported("unsupported_git", version=".".join(map(str, version)))


def candidate(path: Path, base_branch: str, head: str, *, onto: str | None = None) -> Candidate:
    """What merging `head` into the branch gives now, whichever the method; nothing moves.

    With `onto`, that commit stands in for the branch. Raises AlreadyMerged, BranchMissing, Unrelated, Unsupported.
    """
    _require_merge_tree()
    base = valid_commit(onto) if onto else mirror.head(path, base_branch)
    if base is None:
        raise BranchMissing("branch_missing", branch=valid_branch(base_branch))
    if mirror.merge_base(path, base, head) is None:
        raise Unrelated("unrelated", base=base, head=head)
    if mirror.is_ancestor(path, head, base):
        raise AlreadyMerged("already_merged", branch=base_branch)
    args = ("merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", base, head)
    status, out = git_status(path, *args, ok=(0, 1))
    tree, *files = out.decode("utf-8", "backslashreplace").split("\0")
    conflicts = tuple(dict.fromkeys(name for name in files if name)) if status else ()
    return Candidate(base=base, head=head, tree=tree, conflicts=conflicts)


def prepare(
    path: Path,
    branch: str,
    head: str,
    *,
    method: Method,
    message: str,
    author: Identity,
    committer: Identity,
    onto: str | None = None,
    even_empty: bool = False,
) -> Merged:
    """Make the commit that merging would give, checked to contain the reviewed patch; the branch is not moved yet.

    For an upstream, push `Merged.commit` there between this and `land`. Raises Conflict, AlreadyMerged, NothingToMerge
    unless `even_empty`, PatchMissing.
    """
    tried = candidate(path, branch, head, onto=onto)
    if tried.conflicts:
        raise Conflict(branch, tried.conflicts)
    if not even_empty and tried.tree == mirror.tree_of(path, tried.base):
        raise NothingToMerge("nothing_to_merge", branch=branch)
    parents = (tried.base, head) if method == "merge" else (tried.base,)
    commit = _commit(path, tried.tree, parents, message=message, author=author, committer=committer)
    missing = _missing(path, tried, commit)
    if missing is not None:
        raise PatchMissing("patch_missing", branch=branch, path=missing)
    return Merged(branch=branch, commit=commit, onto=tried.base, head=head, tree=tried.tree)


def land(path: Path, merged: Merged) -> None:
    """Move the branch to the merge, if it still is where it was. BranchMoved when it is not."""
    ref = mirror.HEADS + valid_branch(merged.branch)
    if mirror.reference(path, ref) == merged.commit:
        return
    try:
        git(path, "update-ref", "-m", f"merge {merged.head[:12]}", ref, merged.commit, merged.onto)
    except GitFailed as failed:
        if mirror.reference(path, ref) != merged.onto:
            raise BranchMoved("branch_moved", branch=merged.branch) from failed
        raise


def merge(
    path: Path,
    branch: str,
    head: str,
    *,
    method: Method,
    message: str,
    author: Identity,
    committer: Identity,
    onto: str | None = None,
) -> Merged:
    """`prepare` and `land` in one, for a repository without upstream. `onto`: what the branch has to be at."""
    if onto is not None and mirror.head(path, branch) != onto:
        raise BranchMoved("branch_moved", branch=branch)
    merged = prepare(
        path, branch, head, method=method, message=message, author=author, committer=committer, onto=onto
    )  # fmt: skip
    land(path, merged)
    return merged


def _commit(
    path: Path, tree: str, parents: tuple[str, ...], *, message: str, author: Identity, committer: Identity
) -> str:
    env = {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_COMMITTER_NAME": committer.name,
        "GIT_COMMITTER_EMAIL": committer.email,
    }
    flags = [flag for parent in parents for flag in ("-p", parent)]
    text = message.replace("\0", "").strip() + "\n"
    out = git(path, "commit-tree", tree, *flags, "-F", "-", stdin=text.encode("utf-8", "replace"), env=env)
    return out.decode().strip()


def _missing(path: Path, tried: Candidate, commit: str) -> str | None:
    """A path where the merge is not the branch plus the reviewed patch; None when it is everywhere.

    Where one side alone touched a path, the merge must have exactly that side's file. Where both did, the lines decide:
    the merge adds and removes nothing that the patch does not, and leaves out only what the branch had done already.
    """
    start = mirror.merge_base(path, tried.base, tried.head)
    assert start is not None
    theirs = _entries(path, start, tried.head)
    ours = _entries(path, start, tried.base)
    result = _entries(path, tried.base, commit)
    both = sorted((theirs.keys() & ours.keys()) | (result.keys() - theirs.keys()))
    for name in theirs.keys() - ours.keys():
        if result.get(name) != theirs[name]:
            both.append(name)
    if not both:
        return None
    promised, done, before = (
        Counter(_bare(path, old, new)) for old, new in ((start, tried.head), (tried.base, commit), (start, tried.base))
    )
    if done - promised or (promised - done) - before:
        return both[0].decode("utf-8", "backslashreplace")
    return None


def _entries(path: Path, old: str, new: str) -> dict[bytes, bytes]:
    """The changed paths with their new mode and object."""
    out = git(path, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", old, new, "--")
    fields = out.split(b"\0")[:-1]
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return {name: b" ".join(head.split(b" ")[1:4:2]) for head, name in pairs}


def _bare(path: Path, old: str, new: str) -> list[bytes]:
    return [line for line in changed_lines(path, old, new) if line[:1] != b"="]
