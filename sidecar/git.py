"""The trusted git: how the sidecar runs git over trees that a model or a command has written.

The git directory lies outside the tree and is named outright, so nothing in the tree is ever searched for, read as
configuration or run as a hook, filter, pager or helper. What each line defends against is tried in
`tests/sidecar/test_git_vectors.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

LOCAL_SECONDS = 120.0
NETWORK_SECONDS = 900.0
_GRACE_SECONDS = 1.0
_MESSAGE_CHARACTERS = 4_000

_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.untrackedCache=false",
    "core.autocrlf=false",
    "core.symlinks=true",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.sshCommand=false",
    "core.askPass=true",
    "core.pager=cat",
    "core.quotePath=true",
    "credential.helper=",
    "protocol.ext.allow=never",
    "http.followRedirects=false",
    "submodule.recurse=false",
    "diff.ignoreSubmodules=all",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "commit.gpgSign=false",
    "push.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "safe.directory=*",  # every directory is named outright, so whose it is decides nothing
)
_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "file:http:https",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_EDITOR": ":",
    "GIT_PAGER": "cat",
}

_BAD_IN_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-/.]|[/.]$|^@$")
_BAD_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


class GitFailed(Exception):
    """git ended with an error; `message` is what it said, the `remote:` lines of the other side included."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message or f"git ended with {code}")
        self.code = code
        self.message = message


class BadName(ValueError):
    """A branch name or address that git could take for something else."""


def checked_branch(name: str) -> str:
    """`name`, if it can be a branch and nothing but a branch. Raises BadName."""
    if not name or len(name) > 200 or _BAD_IN_BRANCH.search(name):
        raise BadName(f"{name[:80]!r} is no usable branch name.")
    return name


def checked_url(url: str) -> str:
    """`url`, if it is an http, https or file address or an absolute path, without credentials. Raises BadName."""
    parts = urlsplit(url) if not _BAD_IN_URL.search(url) else None
    if parts is None or url.startswith("-"):
        raise BadName(f"{url[:80]!r} is no usable repository address.")
    local = parts.scheme in {"", "file"} and parts.path.startswith("/") and not parts.netloc
    remote = parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.hostname or "").startswith("-")
    if not (local or remote) or "::" in url.partition("/")[0] or parts.username or parts.password or parts.query:
        raise BadName(f"{url[:80]!r} is no usable repository address.")
    return url


@dataclass(frozen=True)
class Remote:
    """The hub's copy of a repository: a literal address, and the token that opens it. The token is never printed."""

    url: str
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        checked_url(self.url)
        if _BAD_IN_URL.search(self.token):
            raise BadName("The token holds a character that no token has.")

    def environment(self) -> dict[str, str]:
        """The token as git configuration for this one address: not in the arguments, not on disk."""
        if not self.token or not self.url.startswith("http"):
            return {}
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{self.url}.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Bearer {self.token}",
        }


@dataclass(frozen=True)
class Git:
    """git over one git directory and, if given, one work tree with its index; nothing is ever discovered."""

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None

    async def run(
        self,
        *arguments: str,
        remote: Remote | None = None,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        most: int | None = None,
    ) -> bytes:
        """stdout of one git command, or its first `most` bytes, and then git is ended where it is.

        Raises GitFailed; a cancelled or late git is killed with its children.
        """
        seconds = timeout or (NETWORK_SECONDS if remote else LOCAL_SECONDS)
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        process = await asyncio.create_subprocess_exec(
            "git",
            *settings,
            *arguments,
            stdin=DEVNULL if stdin is None else PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environment() | (remote.environment() if remote else {}) | dict(env or {}),
            cwd=self.git_dir.parent,
            start_new_session=True,
        )
        try:
            reading = process.communicate(stdin) if most is None else _beginning(process, most)
            out, err = await asyncio.wait_for(reading, seconds)
        except TimeoutError:
            raise GitFailed(124, f"git {arguments[0]} did not end within {seconds:.0f} seconds.") from None
        finally:
            await _clear(process)
        if process.returncode and (most is None or len(out) < most):
            raise GitFailed(process.returncode, _readable(err))
        return out

    async def text(self, *arguments: str, remote: Remote | None = None, env: Mapping[str, str] | None = None) -> str:
        """stdout as text, without the newline at its end. Raises GitFailed."""
        return (await self.run(*arguments, remote=remote, env=env)).decode("utf-8", "replace").rstrip("\n")

    async def commit_of(self, name: str) -> str | None:
        """The full hash of the commit that `name` means here, or None."""
        try:
            return await self.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except GitFailed:
            return None

    def _environment(self) -> dict[str, str]:
        found = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **_ENVIRONMENT, "GIT_DIR": str(self.git_dir)}
        if self.work_tree is not None:
            found["GIT_WORK_TREE"] = str(self.work_tree)
            found["GIT_INDEX_FILE"] = str(self.index or self.git_dir / "index")
        return found


async def _beginning(process: Process, most: int) -> tuple[bytes, bytes]:
    """The first `most` bytes of what it prints; what it would still print is never read."""
    assert process.stdout is not None
    assert process.stderr is not None
    complaints = asyncio.create_task(process.stderr.read())
    try:
        out = bytearray()
        while len(out) < most and (chunk := await process.stdout.read(min(65_536, most - len(out)))):
            out += chunk
        if len(out) < most:
            await process.wait()
            return bytes(out), await complaints
        return bytes(out), b""
    finally:
        complaints.cancel()


async def _clear(process: Process) -> None:
    """End git and the transports it started, if it has not ended by itself."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):  # then the next signal
            await asyncio.wait_for(asyncio.shield(process.wait()), _GRACE_SECONDS)
            return


def _readable(err: bytes) -> str:
    """git's own words, without progress lines overwritten by carriage returns, and not without end."""
    lines = [line.rpartition("\r")[2].rstrip() for line in err.decode("utf-8", "replace").split("\n")]
    return "\n".join(line for line in lines if line)[-_MESSAGE_CHARACTERS:]
