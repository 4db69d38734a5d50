"""A person's own checkout, through their own git with their own settings: nobody else has written in it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.git import Remote

SECONDS = 300.0
BASE = "refs/agentcom/base"
"""Where the hub's default branch is kept, as it was when it was last fetched."""
_CONVENTION = re.compile(r"(fix|feat|docs|test|refactor|chore)(\([^)]*\))?!?: \S")
_ALONE = ("-c", "http.followRedirects=false", "-c", "credential.helper=")


class HandProblem(Exception):
    """Why this cannot be done by hand right now, in a sentence that says what to do."""


@dataclass(frozen=True)
class Commit:
    """One commit of the work: its short hash and its first line."""

    short: str
    subject: str

    @property
    def conventional(self) -> bool:
        """Whether its message begins `<type>: `."""
        return bool(_CONVENTION.match(self.subject))


@dataclass(frozen=True)
class Notes:
    """What `start` wrote down about a branch, in the checkout's own git configuration."""

    repo: str
    default: str
    title: str


class Checkout:
    """The work tree around `where`. Every method raises HandProblem with git's own words."""

    def __init__(self, where: Path) -> None:
        self.top = where
        self.top = Path(self.git("rev-parse", "--show-toplevel"))

    def git(self, *arguments: str, remote: Remote | None = None) -> str:
        """stdout of one git command, without the newline at its end. A token goes by the environment only."""
        done = self._run(arguments, remote)
        if done.returncode:
            raise HandProblem(done.stderr.strip() or f"git {arguments[0]} ended with {done.returncode}")
        return done.stdout.rstrip("\n")

    def says(self, *arguments: str) -> str | None:
        """The same, or None when git says no."""
        done = self._run(arguments, None)
        return None if done.returncode else done.stdout.rstrip("\n")

    def _run(self, arguments: tuple[str, ...], remote: Remote | None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *(_ALONE if remote else ()), *arguments], cwd=self.top, env=_environment(remote),
                capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise HandProblem("git is not installed. Install it, for example: apt install git") from None
        except subprocess.TimeoutExpired:
            raise HandProblem(f"git {arguments[0]} did not end within {SECONDS:.0f} seconds.") from None

    @property
    def branch(self) -> str:
        """What is checked out; empty for a bare commit."""
        return self.says("symbolic-ref", "--quiet", "--short", "HEAD") or ""

    @property
    def head(self) -> str:
        """The full hash of the commit that is checked out."""
        return self.git("rev-parse", "--verify", "HEAD^{commit}")

    def dirty(self) -> list[str]:
        """Files that differ from what is committed, and those that git does not know, as `git status --short` does."""
        return self.git("status", "--porcelain", "--untracked-files=all").splitlines()

    def fetch_base(self, remote: Remote) -> str:
        """Bring the hub's default branch to BASE; its name, whatever it is."""
        said = self.git("ls-remote", "--symref", "--end-of-options", remote.url, "HEAD", remote=remote)
        found = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said, re.MULTILINE)
        if found is None:
            raise HandProblem("The repository has no commit yet, so there is nothing to branch from.")
        self.git(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", remote.url,
            f"+refs/heads/{found[1]}:{BASE}", remote=remote,
        )  # fmt: skip
        return found[1]

    def is_related(self) -> bool:
        """Whether what is checked out and the base share any history; also when nothing is committed here yet."""
        return self.says("rev-parse", "--verify", "--quiet", "HEAD") is None or bool(
            self.says("merge-base", "HEAD", BASE)
        )

    def begin(self, branch: str, notes: Notes) -> None:
        """Check out a new `branch` from the base and write `notes` down."""
        self.git("switch", "--quiet", "--no-track", "--create", branch, BASE)
        for name, value in vars(notes).items():
            self.git("config", "--local", f"branch.{branch}.agentcom-{name}", value)

    def notes(self, branch: str) -> Notes | None:
        """What was written down about `branch`; None for one that `start` did not make."""
        found = [
            self.says("config", "--local", f"branch.{branch}.agentcom-{name}") for name in ("repo", "default", "title")
        ]
        repo, default, title = found
        return Notes(repo, default, title) if repo and default and title else None

    def submitted(self, branch: str) -> str:
        """The commit of `branch` that became a pull request last; empty if none did."""
        return self.says("config", "--local", f"branch.{branch}.agentcom-submitted") or ""

    def mark_submitted(self, branch: str, commit: str) -> None:
        """Write down that `commit` did."""
        self.git("config", "--local", f"branch.{branch}.agentcom-submitted", commit)

    def commits(self) -> list[Commit]:
        """What the branch adds to the base, oldest first, merges left out."""
        said = self.git("log", "--no-merges", "--reverse", "--format=%h%x09%s", f"{BASE}..HEAD")
        return [Commit(*line.split("\t", 1)) for line in said.splitlines()]

    def difference(self) -> str:
        """git's own statistics of it."""
        return self.git("diff", "--stat", "--no-ext-diff", f"{BASE}...HEAD")

    def push(self, commit: str, branch: str, remote: Remote, *, every: float, meanwhile: Callable[[], object]) -> None:
        """Push to `branch`; as long as that takes, `meanwhile` is called every so many seconds."""
        arguments = ("push", "--quiet", "--end-of-options", remote.url, f"{commit}:refs/heads/{branch}")
        with subprocess.Popen(
            ["git", *_ALONE, *arguments], cwd=self.top, env=_environment(remote), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        ) as process:  # fmt: skip
            try:
                said = _wait(process, every, meanwhile)
            finally:
                process.kill()  # nothing to kill when it has ended
        if process.returncode:
            raise HandProblem(said.strip() or f"git push ended with {process.returncode}")


def _wait(process: subprocess.Popen[str], every: float, meanwhile: Callable[[], object]) -> str:
    while True:
        try:
            return process.communicate(timeout=every)[1]
        except subprocess.TimeoutExpired:
            meanwhile()


def _environment(remote: Remote | None) -> dict[str, str]:
    """The person's own, and the token for one address behind whatever settings they pass to git in the same way."""
    if remote is None:
        return dict(os.environ)
    given = os.environ.get("GIT_CONFIG_COUNT", "")
    taken = int(given) if given.isdecimal() else 0
    added = {name.replace("_0", f"_{taken}"): value for name, value in remote.environment().items()}
    if added:
        added["GIT_CONFIG_COUNT"] = str(taken + 1)
    return {**os.environ, **added, "GIT_TERMINAL_PROMPT": "0"}
