"""The hub's bare mirror of a repository: made, kept equal to its upstream, and pushed back to it.

Three name spaces in it: `refs/heads/*` is what agents see, `refs/heads/agentcom/*` is what they push, and
`refs/upstream/*` is what the upstream had when it was last asked. A merge lands in the first before or after it reaches
the upstream; keeping the third apart is what lets `sync` tell "not pushed yet" from "thrown away there".
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from apps.events.refused import Refused, Stale
from apps.repos import trusted
from apps.repos.admission import MAX_PACK_BYTES
from apps.repos.trusted import GitFailed, git, git_status, valid_branch, valid_commit, valid_url

OURS = "agentcom"
HEADS = "refs/heads/"
UPSTREAM = "refs/upstream/"
REMOTE = trusted.REMOTE_PROTOCOLS
MAX_TREE = 10_000

SETTINGS = {
    "core.bare": "true",
    "core.logAllRefUpdates": "always",
    "core.hooksPath": "hooks",
    "gc.auto": "0",
    "http.receivepack": "true",
    "http.uploadpack": "true",
    "http.getanyfile": "false",
    "receive.fsckObjects": "true",
    "receive.denyDeletes": "true",
    "receive.denyNonFastForwards": "true",
    "receive.autogc": "false",
    "receive.maxInputSize": str(MAX_PACK_BYTES),
    "receive.advertisePushOptions": "false",
    "transfer.hideRefs": UPSTREAM.rstrip("/"),
    "uploadpack.allowReachableSHA1InWant": "true",
    "uploadpack.allowFilter": "true",
}
# Without the gateway's environment the hook cannot start, so a push by any other way is refused.
HOOK = """#!/bin/sh
exec "${AGENTCOM_PYTHON:?this repository takes pushes only through the hub}" -I -S "${AGENTCOM_PRE_RECEIVE:?}"
"""


class MirrorMissing(Refused):
    """The mirror of {name} has not been made yet."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A branch before and after; None where it did not or does not exist."""

    branch: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Synced:
    """What one look at the upstream changed. `diverged` branches were left alone: both sides have own commits."""

    default_branch: str
    moved: tuple[Moved, ...] = ()
    diverged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit as a list shows it."""

    sha: str
    parents: tuple[str, ...]
    author: str
    at: datetime
    subject: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The paths of a tree in git's order; `truncated` when there are more than were asked for."""

    paths: tuple[str, ...] = field(default=())
    truncated: bool = False


def create(path: Path, url: str | None, default_branch: str = "main", *, allow_local: bool = False) -> None:
    """Make the mirror at `path`; an existing one only gets its settings and hook renewed. Nothing is fetched yet.

    Raises Invalid for an address or branch that cannot be used. The address is kept by the caller, not in the mirror,
    since it may hold a password.
    """
    valid_branch(default_branch)
    if url:
        valid_url(url, allow_local=allow_local)
    if exists(path):
        _configure(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first: a mirror that exists is whole, whenever the hub is killed.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as making:
        made = Path(making) / "mirror"
        git(None, "init", "--bare", "--quiet", "--template=", f"--initial-branch={default_branch}", str(made))
        _configure(made)
        made.rename(path)


def exists(path: Path) -> bool:
    """Whether there is a mirror at `path`."""
    return (path / "HEAD").is_file() and (path / "objects").is_dir()


def _configure(path: Path) -> None:
    for key, value in SETTINGS.items():
        git(path, "config", key, value)
    hook = path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK, encoding="ascii")
    hook.chmod(0o755)


def remove(path: Path) -> None:
    """Delete the mirror and all that was only in it."""
    if exists(path):
        shutil.rmtree(path)


def seed(path: Path, source: Path) -> str:
    """Fill an empty mirror without upstream from a local repository once; the default branch it now has.

    Raises Refused("already_seeded") when the mirror has branches.
    """
    if branches(path):
        raise Refused("already_seeded", "The repository already has branches; it is filled only once.")
    local = valid_url(str(source.resolve()), allow_local=True)
    git(path, "fetch", "--quiet", "--no-write-fetch-head", local, *_refspecs("refs/heads/*:refs/heads/*"),
        "refs/tags/*:refs/tags/*", protocols=("file",))  # fmt: skip
    return _follow_default(path, local, ("file",), head_branch(path))


def sync(path: Path, url: str, *, allow_local: bool = False, protocols: Sequence[str] = REMOTE) -> Synced:
    """Fetch from the upstream and move the mirror's branches to where it has them.

    Agents' branches are never touched. Branches with commits that the upstream lacks stay where they are. Raises
    GitFailed when the upstream cannot be reached, Invalid when its address may not be used.
    """
    _must_exist(path)
    valid_url(url, allow_local=allow_local, schemes=protocols)
    allowed = (*protocols, "file") if allow_local else tuple(protocols)
    before = _refs(path, UPSTREAM)
    git(path, "fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", url,
        *_refspecs(f"+{HEADS}*:{UPSTREAM}*"), protocols=allowed)  # fmt: skip
    git(path, "fetch", "--quiet", "--force", "--no-write-fetch-head", url, "+refs/tags/*:refs/tags/*",
        protocols=allowed)  # fmt: skip
    default = _follow_default(path, url, allowed, head_branch(path))
    moved, diverged = _follow(path, before, _refs(path, UPSTREAM), default)
    return Synced(default_branch=default, moved=moved, diverged=diverged)


def _refspecs(*wanted: str) -> tuple[str, ...]:
    return (*wanted, f"^{HEADS}{OURS}", f"^{HEADS}{OURS}/*")


def _follow_default(path: Path, url: str, protocols: Sequence[str], current: str) -> str:
    """Point HEAD at the upstream's default branch, when it names one."""
    out = trusted.text(path, "ls-remote", "--symref", url, "HEAD", protocols=protocols)
    found = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", out, re.MULTILINE)
    if found is None or found[1] == current:
        return current
    default = valid_branch(found[1])
    git(path, "symbolic-ref", "HEAD", HEADS + default)
    return default


def _follow(
    path: Path, before: Mapping[str, str], now: Mapping[str, str], default: str
) -> tuple[tuple[Moved, ...], tuple[str, ...]]:
    moved, diverged = [], []
    for branch in sorted({*before, *now}):
        was, new, here = before.get(branch), now.get(branch), reference(path, HEADS + branch)
        if here == new or (was == new and here is not None) or (new is None and branch == default):
            continue
        if here is None or here == was or (new is not None and is_ancestor(path, here, new)):
            moved.append(Moved(branch=branch, old=here, new=new))
        elif new is not None:
            diverged.append(branch)
    # Names that go make room for names below them (`a` for `a/b`), so they go first.
    for move in sorted(moved, key=lambda move: move.new is not None):
        _move(path, move)
    return tuple(moved), tuple(diverged)


def _move(path: Path, move: Moved) -> None:
    old = move.old or "0" * 40
    if move.new is None:
        git(path, "update-ref", "-d", HEADS + move.branch, old)
    else:
        git(path, "update-ref", "-m", "sync with upstream", HEADS + move.branch, move.new, old)


def push_back(
    path: Path,
    url: str,
    branch: str,
    new: str,
    expected_old: str | None,
    *,
    allow_local: bool = False,
    protocols: Sequence[str] = REMOTE,
) -> None:
    """Set the upstream's `branch` to `new`, if it still is at `expected_old` (None: does not exist yet).

    Raises Stale when it moved, GitFailed when the upstream refuses or cannot be reached.
    """
    _must_exist(path)
    valid_url(url, allow_local=allow_local, schemes=protocols)
    ref = HEADS + valid_branch(branch)
    valid_commit(new)
    lease = f"--force-with-lease={ref}:{valid_commit(expected_old) if expected_old else ''}"
    allowed = (*protocols, "file") if allow_local else tuple(protocols)
    try:
        git(path, "push", "--quiet", "--no-verify", lease, url, f"{new}:{ref}", protocols=allowed)
    except GitFailed as failed:
        if "stale info" in failed.stderr:
            raise Stale("upstream_moved", f"{branch} moved at the upstream.", branch=branch) from failed
        raise
    if not branch.startswith(f"{OURS}/"):
        git(path, "update-ref", "-m", "pushed to upstream", UPSTREAM + branch, new)


def head(path: Path, branch: str) -> str | None:
    """The commit the branch points at, None when there is no such branch."""
    return reference(path, HEADS + valid_branch(branch))


def reference(path: Path, ref: str) -> str | None:
    """The object a full reference name points at, None when there is no such reference."""
    status, out = git_status(path, "rev-parse", "--verify", "--quiet", "--end-of-options", ref, ok=(0, 1))
    return out.decode().strip() if status == 0 else None


def references(path: Path, refs: Sequence[str]) -> dict[str, str]:
    """Those of the full reference names that exist, with their objects; one look for all."""
    if not refs:
        return {}
    out = trusted.text(path, "for-each-ref", "--format=%(objectname) %(refname)", *refs)
    found = {ref: sha for sha, ref in (line.split(" ", 1) for line in out.splitlines())}
    # Git takes a name for a directory too and lists what is below it.
    return {ref: found[ref] for ref in refs if ref in found}


def head_branch(path: Path) -> str:
    """The name of the default branch."""
    return trusted.text(path, "symbolic-ref", "HEAD").removeprefix(HEADS)


def branches(path: Path) -> dict[str, str]:
    """Every branch with its commit, agents' branches among them."""
    return _refs(path, HEADS)


def _refs(path: Path, prefix: str) -> dict[str, str]:
    out = trusted.text(path, "for-each-ref", "--format=%(objectname) %(refname)", prefix)
    pairs = (line.split(" ", 1) for line in out.splitlines())
    return {ref.removeprefix(prefix): sha for sha, ref in pairs}


def is_ancestor(path: Path, older: str, newer: str) -> bool:
    """Whether `newer` holds all of `older`; a commit is its own ancestor."""
    args = ("merge-base", "--is-ancestor", valid_commit(older), valid_commit(newer))
    return git_status(path, *args, ok=(0, 1))[0] == 0


def merge_base(path: Path, one: str, other: str) -> str | None:
    """The best common ancestor of two commits, None when they have none."""
    status, out = git_status(path, "merge-base", valid_commit(one), valid_commit(other), ok=(0, 1))
    return out.decode().strip() if status == 0 else None


def tree_of(path: Path, commit: str) -> str:
    """The id of the commit's tree, which evidence is bound to."""
    return trusted.text(path, "rev-parse", "--verify", "--end-of-options", valid_commit(commit) + "^{tree}")


def log(path: Path, tip: str, *, since: str | None = None, limit: int = 100) -> list[Commit]:
    """The commits up to `tip`, newest first; with `since`, only those it does not hold."""
    wanted = [valid_commit(tip)] + ([f"^{valid_commit(since)}"] if since else [])
    out = git(path, "log", "-z", f"--max-count={limit}", "--no-show-signature", "--no-notes", "--encoding=UTF-8",
              "--format=%H%x1f%P%x1f%an%x1f%cI%x1f%s", *wanted, "--")  # fmt: skip
    return [_commit(entry) for entry in out.decode("utf-8", "replace").split("\0") if entry]


def _commit(entry: str) -> Commit:
    sha, parents, author, at, subject = entry.split("\x1f", 4)
    return Commit(
        sha=sha, parents=tuple(parents.split()), author=author, at=datetime.fromisoformat(at), subject=subject
    )


def tree(path: Path, commit: str, *, limit: int = MAX_TREE) -> Tree:
    """The paths of files in the commit's tree, at most `limit`."""
    out = git(path, "ls-tree", "-r", "-z", "--name-only", "--full-tree", valid_commit(commit))
    names = out.split(b"\0", limit + 1)[: limit + 1]
    paths = [name.decode("utf-8", "backslashreplace") for name in names if name]
    return Tree(paths=tuple(paths[:limit]), truncated=len(paths) > limit)


def read(path: Path, commit: str, file: str, *, max_bytes: int = 256 * 1024) -> bytes | None:
    """The first bytes of a file of the commit, None when it has no such file."""
    spec = f"{valid_commit(commit)}:{file}"
    if git_status(path, "cat-file", "-e", spec, ok=(0, 1, 128))[0] != 0:
        return None
    return b"".join(trusted.chunks(path, "cat-file", "blob", spec, max_bytes=max_bytes))


def maintain(path: Path) -> None:
    """Pack what came in and drop what has been unreachable for two weeks. For the clock, not for a request."""
    _must_exist(path)
    git(path, "gc", "--quiet", timeout=trusted.NETWORK_TIMEOUT)


def _must_exist(path: Path) -> None:
    if not exists(path):
        raise MirrorMissing("mirror_missing", name=path.stem)
