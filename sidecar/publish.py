"""Turn the work in a tree into one commit on one branch of the hub, or say why it cannot be."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from sidecar.git import Git, GitFailed, Remote, checked_branch
from sidecar.patience import patiently
from sidecar.tree import NotAWork, leaves, looks_like_git
from sidecar.workspace import Workspace

_GITLINK, _SYMLINK = "160000", "120000"
_CONTROL = re.compile(r"[\x00-\x1f\x7f<>]")


class Author(Protocol):
    """Whose commits these are; the wire's Identity is one."""

    @property
    def name(self) -> str: ...

    @property
    def email(self) -> str: ...


class NoChange(Exception):
    """The work left the tree as it was: there is nothing to publish, and that is no success."""


class NotPublished(Exception):
    """The work stays unpublished. `code` is unsafe_tree, push_refused or what NotAWork says."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What is on the hub now: the commit, its tree, the commit it started from, and the size of the difference."""

    branch: str
    commit: str
    tree: str
    base: str
    files: int
    added: int
    deleted: int


async def publish(
    workspace: Workspace, *, branch: str, message: str, author: Author, remote: Remote, tree: str = ""
) -> Pushed:
    """Record the work as a commit by `author` and push it to `branch`, and nowhere else.

    `tree` is the snapshot that a report was bound to, so that exactly what was verified is published; without it the
    tree is recorded as it stands.
    Raises NoChange, NotPublished, or GitFailed when git itself breaks down.
    """
    checked_branch(branch)
    try:
        tree = tree or await workspace.snapshot()
    except NotAWork as odd:
        raise NotPublished(odd.code, str(odd)) from odd
    if tree == workspace.base_tree:
        raise NoChange
    git = workspace.git
    await _refuse_unsafe(git, workspace.base, tree)
    commit = await commit_tree(git, tree=tree, parent=workspace.base, message=message, author=author)
    await push(git, commit, f"refs/heads/{branch}", remote)
    files, added, deleted = await diff_size(git, workspace.base, commit)
    return Pushed(
        branch=branch, commit=commit, tree=tree, base=workspace.base, files=files, added=added, deleted=deleted
    )


async def commit_tree(git: Git, *, tree: str, parent: str, message: str, author: Author) -> str:
    """A commit of `tree` by `author`; no hook, editor, template or signature has a part in it."""
    name, email = (_CONTROL.sub("", text).strip() or "agent" for text in (author.name, author.email))
    who = {
        f"GIT_{role}_{part}": text
        for role in ("AUTHOR", "COMMITTER")
        for part, text in (("NAME", name), ("EMAIL", email))
    }
    made = await git.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=_clean(message), env=who)
    return made.decode().strip()


async def push(git: Git, commit: str, ref: str, remote: Remote) -> None:
    """Push one commit to one full ref by the literal address. Raises NotPublished with the hub's own words."""
    arguments = ("push", "--quiet", "--no-verify", "--end-of-options", remote.url, f"{commit}:{ref}")
    try:
        await patiently(lambda: git.run(*arguments, remote=remote), failures=GitFailed)
    except GitFailed as failed:
        raise NotPublished("push_refused", failed.message or "The push failed.") from failed


async def diff_size(git: Git, base: str, commit: str) -> tuple[int, int, int]:
    """Files changed, lines added and lines deleted between two commits; binary files count no lines."""
    said = await git.text(
        "diff-tree", "--numstat", "-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", base, commit
    )
    rows = [row.split("\t", 2) for row in said.split("\0") if "\t" in row]
    added, deleted = (sum(int(row[at]) for row in rows if row[at].isdigit()) for at in (0, 1))
    return len(rows), added, deleted


async def _refuse_unsafe(git: Git, base: str, tree: str) -> None:
    """Raise NotPublished for what no reviewer should have to spot. Only what has changed is looked at."""
    problems = [problem async for problem in _problems(git, base, tree)]
    if problems:
        raise NotPublished("unsafe_tree", "The work cannot be published: " + "; ".join(problems[:10]) + ".")


async def _problems(git: Git, base: str, tree: str) -> AsyncIterator[str]:
    raw = await git.run("diff-tree", "-r", "--raw", "-z", "--no-renames", "--abbrev=64", base, tree)
    fields = raw.split(b"\0")
    for about, where in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, blob, status = about.decode().lstrip(":").split()
        path = os.fsdecode(where)
        shown = path.encode("utf-8", "backslashreplace").decode()
        if status == "D":
            continue
        if mode == _GITLINK:
            yield f"{shown!r} is a submodule"
        if any(looks_like_git(part) for part in path.split("/")):
            yield f"{shown!r} has a name that is git's own"
        if mode == _SYMLINK:
            target = os.fsdecode(await git.run("cat-file", "blob", blob))
            if leaves(path, target):
                yield f"{shown!r} is a symbolic link out of the repository"


def message(title: str, *, task: int, attempt: int) -> str:
    """The commit message of an attempt: `<type>: <title>`, and trailers that lead back to task and attempt."""
    subject = " ".join(title.split()) or "work"
    kind = commit_type(subject)
    if re.match(r"(fix|feat|docs|test|refactor|chore)(\([^)]*\))?!?:\s", subject):
        line = subject
    else:
        line = f"{kind}: {subject}"
    return f"{line[:120]}\n\nAgentCom-Task: {task}\nAgentCom-Attempt: {attempt}\n"


_TYPES = (
    ("fix", r"fix(es|ed)?|bugs?|repair(s|ed)?|correct(s|ed)?|broken|crash(es)?|regression|off-by-one"),
    ("docs", r"docs?|documentation|document(s|ed)?|readme|docstrings?|changelog|typos?"),
    ("test", r"tests?|testing|coverage"),
    ("refactor", r"refactor(s|ed|ing)?|renam(e|es|ed)|extract(s|ed)?|simplif(y|ies|ied)|clean ?up|restructure"),
    ("feat", r"add(s|ed)?|implement(s|ed)?|support(s)?|introduc(e|es)|creat(e|es)|feature|allow(s)?|new"),
)


def commit_type(title: str) -> str:
    """fix, docs, test, refactor, feat or chore, by the word that comes first in the title."""
    already = re.match(r"(fix|feat|docs|test|refactor|chore)(\([^)]*\))?!?:", title)
    if already:
        return already[1]
    found = [
        (match.start(), order, kind)
        for order, (kind, words) in enumerate(_TYPES)
        if (match := re.search(rf"\b({words})\b", title, re.IGNORECASE))
    ]
    return _specific(sorted(found)) if found else "chore"


def _specific(found: list[tuple[int, int, str]]) -> str:
    """ "Add tests" and "add documentation" are about the tests and the documentation, not a feature."""
    kinds = [kind for _, _, kind in found]
    if kinds[0] == "feat" and len(kinds) > 1 and kinds[1] in {"test", "docs"}:
        return kinds[1]
    return kinds[0]


def _clean(text: str) -> bytes:
    return text.replace("\0", "").encode("utf-8", "replace")
