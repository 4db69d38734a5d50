"""Where one attempt works: a tree that commands may change, and a git directory beside it that they never see.

root/cache/<repository>.git       everything fetched so far, shared by all attempts
root/attempts/<attempt>/tree      the work
root/attempts/<attempt>/git       ours, hard-linked from the cache, complete by itself
root/attempts/<attempt>/index     ours
root/attempts/<attempt>/about.json
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sidecar.discard import discard
from sidecar.git import Git, GitFailed, Remote, checked_branch
from sidecar.tree import MAX_WORK_BYTES, Findings, NotAWork, refuse_odd, survey

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_DIFF_BYTES = 400_000
_NAMES_BYTES = 50_000_000
# Every attribute by which git converts what it records. Said in the git directory it outweighs any file of the tree,
# and `!` is "not said": `-working-tree-encoding` would be an error, and a macro is only taken apart when it is set.
_UNCONVERTED = "* !text !crlf !eol !ident !filter !working-tree-encoding\n"


class WorkspaceFailed(Exception):
    """There is nothing to work on. `code` is one of empty_repository, branch_missing, commit_missing, fetch_failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Workspace:
    """A prepared attempt. `base` is the commit it starts from, `branch` the branch that was meant, if one was."""

    root: Path
    attempt: int
    url: str
    base: str
    base_tree: str
    branch: str

    @property
    def directory(self) -> Path:
        return self.root / "attempts" / str(self.attempt)

    @property
    def tree(self) -> Path:
        """The only directory that commands may change."""
        return self.directory / "tree"

    @property
    def git(self) -> Git:
        """The trusted git over this tree."""
        return Git(self.directory / "git", self.tree, self.directory / "index")

    @classmethod
    async def prepare(cls, *, remote: Remote, attempt: int, root: Path, start: str = "") -> Workspace:
        """Check `start` out afresh: a branch, a full commit hash, or the default branch when empty.

        Raises WorkspaceFailed, or BadName for a start that could not be either.
        """
        if start and not _SHA.match(start):
            checked_branch(start)
        directory = root / "attempts" / str(attempt)
        await asyncio.to_thread(_fresh, directory)
        async with _cache(root, remote) as cache:
            branch, base = await _find(cache, remote, start)
            git = Git(directory / "git", directory / "tree", directory / "index")
            await Git(cache.git_dir).run(
                "clone", "--quiet", "--bare", "--local", "--no-tags", "--template=", "--", str(cache.git_dir),
                str(directory / "git"),
            )  # fmt: skip
        await git.run("update-ref", "--no-deref", "HEAD", base)
        await git.run("read-tree", "--reset", "-u", base)
        made = cls(root, attempt, remote.url, base, await git.text("rev-parse", f"{base}^{{tree}}"), branch)
        made._remember()
        return made

    @classmethod
    def reopen(cls, root: Path, attempt: int) -> Workspace | None:
        """What an earlier run of the sidecar prepared; None when there is nothing, or not enough, left of it."""
        try:
            about = json.loads((root / "attempts" / str(attempt) / "about.json").read_text())
            found = cls(root, attempt, **{name: str(about[name]) for name in ("url", "base", "base_tree", "branch")})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.tree.is_dir() else None

    async def resume(self, commit: str, remote: Remote) -> bool:
        """Put an earlier attempt's changes into the tree, as work that is not committed. False when they do not fit.

        The tree stays at its base then: who begins afresh loses less than who goes on from a wrong mixture.
        """
        try:
            await _exactly(self.git, remote, commit)
            merged = await self.git.text("merge-tree", "--write-tree", self.base, commit)
            await self.git.run("read-tree", "--reset", "-u", merged)
            await self.git.run("read-tree", self.base)
        except (GitFailed, WorkspaceFailed):  # a conflict, a commit that is gone, or a git that is too old to merge so
            await self.git.run("read-tree", "--reset", "-u", self.base)
            return False
        return True

    async def put_back(self, paths: Sequence[str], commit: str) -> None:
        """Make these files as `commit` has them, whatever became of them. Raises GitFailed."""
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        await self.git.run(
            "checkout", "--quiet", commit, "--pathspec-from-file=-", "--pathspec-file-nul",
            stdin=names, env={"GIT_LITERAL_PATHSPECS": "1"},
        )  # fmt: skip

    async def snapshot(self) -> str:
        """The hash of the tree as it stands, `.gitignore` honoured. Raises NotAWork, GitFailed."""
        found = await asyncio.to_thread(survey, self.tree)
        refuse_odd(found, await self.ignored(found))
        if found.size > MAX_WORK_BYTES and sum(size for size, _ in await self.changed()) > MAX_WORK_BYTES:
            raise NotAWork("work_too_large", f"The work has more than {MAX_WORK_BYTES // 2**20} MB of new files", [])
        scratch = self.directory / "scratch-index"
        if (self.directory / "index").exists():
            # With its time: git compares it to the files' to know which it must read, so a copy that looks younger
            # would hide a change made within the same second that keeps a file's size.
            await asyncio.to_thread(shutil.copy2, self.directory / "index", scratch)
        git = Git(self.directory / "git", self.tree, scratch)
        await git.run("add", "--all", "--", ".")
        return await git.text("write-tree")

    async def changed(self) -> list[tuple[int, Path]]:
        """Size in bytes and path of every file that is new or changed, by its time and size; what is ignored is not."""
        names = b""
        for command in (
            ("ls-files", "-z", "--others", "--exclude-standard"),
            ("diff-files", "-z", "--name-only", "--diff-filter=d", "--ignore-submodules=all"),
        ):
            names += await self.git.run(*command, most=_NAMES_BYTES)
        paths = {Path(os.fsdecode(name)) for name in names.split(b"\0") if name}
        return await asyncio.to_thread(lambda: [(_size(self.tree / path), path) for path in paths])

    async def ignored_paths(self) -> list[Path]:
        """Files that `.gitignore` keeps out of the work, and directories with nothing else in them."""
        command = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        names = (await self.git.run(*command, most=_NAMES_BYTES)).split(b"\0")[:-1]
        return [path for name in names if (path := Path(os.fsdecode(name))) != Path()]

    def record_unconverted(self) -> None:
        """From now on record every file byte for byte, whatever attributes in the tree say of it."""
        info = self.directory / "git" / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_UNCONVERTED)

    async def differs(self) -> bool:
        """Whether there is work in the tree that its base does not have. What cannot be recorded counts as work."""
        try:
            return await self.snapshot() != self.base_tree
        except (NotAWork, GitFailed):
            return self.tree.is_dir()

    async def snapshot_diff(self, base: str = "") -> str:
        """The patch from `base` (a commit, the start by default) to the tree as it stands, cut at 400 kB."""
        tree = await self.snapshot()
        patch = await self.git.run(
            "diff-tree", "-p", "--no-ext-diff", "--no-textconv", "--no-renames", "--ignore-submodules=all",
            base or self.base, tree, "--", most=_DIFF_BYTES,
        )  # fmt: skip
        return patch.decode("utf-8", "replace")

    async def remove(self) -> None:
        """Forget the attempt and everything in its directory, whatever modes its commands have set."""
        await asyncio.to_thread(discard, self.directory)

    async def ignored(self, found: Findings) -> set[Path]:
        """Those of the odd paths that `.gitignore` keeps out of the work anyway."""
        asked = {path: path.parent if path in found.embedded else path for path in found.all()}
        if not asked:
            return set()
        stdin = b"".join(os.fsencode(path) + b"\0" for path in set(asked.values()) if path != Path())
        try:
            said = await self.git.run("check-ignore", "-z", "--stdin", stdin=stdin)
        except GitFailed as failed:
            if failed.code == 1:  # none of them
                return set()
            raise
        ignored = {Path(os.fsdecode(name)) for name in said.split(b"\0") if name}
        return {path for path, place in asked.items() if place in ignored}

    def _remember(self) -> None:
        about = {"url": self.url, "base": self.base, "base_tree": self.base_tree, "branch": self.branch}
        (self.directory / "about.json").write_text(json.dumps(about))


def _size(path: Path) -> int:
    """Bytes of a file or link; of one that is not there, or cut off at the end of a list, none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _fresh(directory: Path) -> None:
    discard(directory)
    directory.mkdir(parents=True, mode=0o700)
    directory.parent.chmod(0o700)
    (directory / "tree").mkdir(mode=0o755)


@asynccontextmanager
async def _cache(root: Path, remote: Remote) -> AsyncIterator[Git]:
    """The up-to-date cache of `remote`, ours alone meanwhile; one that turns out broken is made anew."""
    home = root / "cache"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    git = Git(home / f"{hashlib.sha256(remote.url.encode()).hexdigest()[:24]}.git")
    with git.git_dir.with_suffix(".lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        try:
            await _fetch(git, remote)
        except GitFailed as failed:
            if not git.git_dir.exists() or await _sound(git):
                raise WorkspaceFailed("fetch_failed", failed.message) from failed
            await asyncio.to_thread(discard, git.git_dir)
            try:
                await _fetch(git, remote)
            except GitFailed as again:
                raise WorkspaceFailed("fetch_failed", again.message) from again
        yield git


async def _fetch(git: Git, remote: Remote) -> None:
    if not (git.git_dir / "HEAD").exists():
        await git.run("init", "--quiet", "--bare", "--template=", str(git.git_dir))
    await git.run(
        "fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--force", "--end-of-options",
        remote.url, "+refs/heads/*:refs/heads/*", remote=remote,
    )  # fmt: skip


async def _sound(git: Git) -> bool:
    """Whether the failure was not the cache's: everything its branches lead to is there."""
    try:
        await git.run("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
    except GitFailed:
        return False
    return True


async def _find(git: Git, remote: Remote, start: str) -> tuple[str, str]:
    """The branch that is meant (empty for a bare commit) and the commit to start from."""
    if _SHA.match(start):
        return "", await _exactly(git, remote, start)
    branch = start or await _default_branch(git, remote)
    base = await git.commit_of(f"refs/heads/{branch}")
    if base is None:
        raise WorkspaceFailed("branch_missing", f"The repository has no branch {branch}.")
    return branch, base


async def _exactly(git: Git, remote: Remote, commit: str) -> str:
    if await git.commit_of(commit) is None:
        try:
            await git.run("fetch", "--quiet", "--no-tags", "--end-of-options", remote.url, commit, remote=remote)
        except GitFailed as failed:
            raise WorkspaceFailed("commit_missing", f"The repository does not have commit {commit}.") from failed
    return commit


async def _default_branch(git: Git, remote: Remote) -> str:
    """What the other side's HEAD points to, whatever its name is."""
    try:
        said = await git.text("ls-remote", "--symref", "--end-of-options", remote.url, "HEAD", remote=remote)
    except GitFailed as failed:
        raise WorkspaceFailed("fetch_failed", failed.message) from failed
    match = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said, re.MULTILINE)
    if match:
        return match[1]
    if not await git.text("for-each-ref", "--count=1", "refs/heads/"):
        raise WorkspaceFailed("empty_repository", "The repository is empty: it has no commit to start from.")
    raise WorkspaceFailed("branch_missing", "The repository's default branch has no commit yet.")
