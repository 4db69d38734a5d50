"""How the hub runs git: never with configuration, hooks, helpers or prompts that it did not choose itself.

A repository holds what agents wrote. Git can be told by files to run programs, so every call names its repository
outright (no discovery), reads no system or user configuration, and gets its overrides on the command line, where they
win over the repository's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from apps.events.refused import Refused

CONFIG_FILE = Path(__file__).with_name("trusted.gitconfig")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
REMOTE_PROTOCOLS = ("http", "https", "ssh")
LOCAL_TIMEOUT = 60.0
NETWORK_TIMEOUT = 600.0
CHUNK = 64 * 1024

OVERRIDES = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "core.pager": "cat",
    "core.attributesFile": os.devnull,
    "attr.tree": EMPTY_TREE,  # newer git reads .gitattributes of HEAD in a bare repository, which could hide a diff
    "credential.helper": "",
    "diff.external": "",
    "diff.renames": "true",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
}
# What a connection to an upstream may use of the hub's own environment; nothing else in git ever sees these.
CREDENTIALS = (
    "HOME", "SSH_AUTH_SOCK", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip

_COMMIT = re.compile(r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_BRANCH_CHARACTERS = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._/+@#=,-]{0,199}\Z")
_SCP_LIKE = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:][^\s]*\Z")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")
_TELLING = re.compile(r"^(?:fatal|error|remote): ", re.MULTILINE)


class GitFailed(Exception):
    """Git did not do what it was told; `code` is its exit status (None: ran out of time), `stderr` what it said."""

    def __init__(self, command: str, code: int | None, stderr: str) -> None:
        self.command = command
        self.code = code
        self.stderr = without_passwords(stderr.strip())
        super().__init__(f"git {command}: {self.reason}")

    @property
    def reason(self) -> str:
        """The line that says most, for a page or a log."""
        if self.code is None:
            return "ran out of time"
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        telling = [line for line in lines if _TELLING.match(line)]
        return (telling or lines or [f"exit status {self.code}"])[0][:500]


class Invalid(Refused):
    """{value} cannot be used as {what}: {why}."""

    status = 400

    def __init__(self, what: str, value: str, why: str) -> None:
        shown = without_passwords(value[:80]).encode("unicode_escape").decode()
        super().__init__(f"invalid_{what}", f"{shown!r} cannot be used as a {what}: {why}.", what=what, why=why)


def without_passwords(text: str) -> str:
    """The same text with what stands before the @ of every URL taken out."""
    return _PASSWORD.sub("…@", text)


def valid_commit(value: str) -> str:
    """`value`, when it is a full object id; Invalid otherwise. Names never reach git where an id is meant."""
    if not _COMMIT.match(value):
        raise Invalid("commit", value, "a full object id in lower case is needed")
    return value


def valid_branch(name: str) -> str:
    """`name`, when it can be a branch (without refs/heads/); Invalid otherwise. Stricter than git."""
    if not _BRANCH_CHARACTERS.match(name):
        raise Invalid("branch", name, "letters, digits and . _ / + @ # = , - only, beginning with a letter or digit")
    parts = name.split("/")
    if any(not part or part.startswith(".") or part.endswith((".", ".lock")) for part in parts):
        raise Invalid("branch", name, "no part of it may be empty, begin or end with a dot, or end with .lock")
    if ".." in name or "@{" in name or name == "HEAD":
        raise Invalid("branch", name, "git would read it as something else")
    return name


def valid_url(url: str, *, allow_local: bool = False, schemes: Sequence[str] = REMOTE_PROTOCOLS) -> str:
    """`url`, when git may be pointed at it; Invalid otherwise.

    http, https, ssh and `user@host:path` are taken; `file://` and absolute paths only with `allow_local`. Everything
    that could become an option or a program (`-…`, `ext::…`) is refused.
    """
    if not url or len(url) > 500 or not url.isprintable() or any(c.isspace() for c in url):
        raise Invalid("url", url, "it is empty, too long, or holds spaces or control characters")
    if url.startswith("-") or "::" in url.split("/", 1)[0]:
        raise Invalid("url", url, "options and remote helpers are not addresses")
    if url.startswith(("/", "file://")):
        return _valid_local(url, allow_local=allow_local)
    if "://" not in url:
        if "ssh" in schemes and _SCP_LIKE.match(url):
            return url
        raise Invalid("url", url, "it is neither https://…, ssh://… nor user@host:path")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid("url", url, "it is not a well-formed address") from error
    if parts.scheme not in schemes:
        raise Invalid("url", url, f"only {', '.join(schemes)} addresses are allowed")
    if not host or host.startswith("-") or (parts.username or "").startswith("-") or port == 0:
        raise Invalid("url", url, "it names no usable host")
    return url


def _valid_local(url: str, *, allow_local: bool) -> str:
    if not allow_local:
        raise Invalid("url", url, "this hub does not take repositories from its own disk")
    path = url.removeprefix("file://")
    if not path.startswith("/") or ".." in path.split("/"):
        raise Invalid("url", url, "a local repository is given by its absolute path")
    return url


def environment(*, network: bool = False, protocols: Sequence[str] = ()) -> dict[str, str]:
    """The whole environment git gets. With `network`, what reaches an upstream is taken from the hub's own."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(CONFIG_FILE),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(protocols) or "none",
    }
    if network:
        env |= {name: os.environ[name] for name in CREDENTIALS if name in os.environ}
        env.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        env.setdefault("GIT_ASKPASS", "true")
    return env


def command(git_dir: Path | None, args: Sequence[str], config: Mapping[str, str] | None = None) -> list[str]:
    """The argument vector of one git call on `git_dir`."""
    argv = ["git"]
    for key, value in (OVERRIDES | dict(config or {})).items():
        argv += ["-c", f"{key}={value}"]
    if git_dir is not None:
        argv.append(f"--git-dir={git_dir}")
    return [*argv, *args]


def git(
    git_dir: Path | None,
    *args: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    ok: Sequence[int] = (0,),
    timeout: float | None = None,
) -> bytes:
    """What git prints. GitFailed when it exits with a status not in `ok` or takes longer than `timeout` seconds.

    Naming `protocols` makes it a network call: only those may be used, and the hub's credentials are in reach.
    """
    return git_status(git_dir, *args, stdin=stdin, env=env, config=config, protocols=protocols, ok=ok, timeout=timeout)[
        1
    ]


def git_status(
    git_dir: Path | None,
    *args: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    ok: Sequence[int] = (0,),
    timeout: float | None = None,
) -> tuple[int, bytes]:
    """As `git`, for commands that answer by their exit status: the status and what was printed."""
    limit = timeout or (NETWORK_TIMEOUT if protocols else LOCAL_TIMEOUT)
    with _started(git_dir, args, env=env, config=config, protocols=protocols) as process:
        try:
            out, err = process.communicate(stdin or b"", timeout=limit)
        except subprocess.TimeoutExpired as expired:
            raise GitFailed(args[0], None, "") from expired
    if process.returncode not in ok:
        raise GitFailed(args[0], process.returncode, err.decode("utf-8", "replace"))
    return process.returncode, out


def text(
    git_dir: Path | None,
    *args: str,
    env: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    timeout: float | None = None,
) -> str:
    """As `git`, for short answers: decoded, without the newline at the end."""
    out = git(git_dir, *args, env=env, protocols=protocols, timeout=timeout)
    return out.decode("utf-8", "backslashreplace").rstrip("\n")


def chunks(git_dir: Path, *args: str, max_bytes: int, config: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """What git prints, in pieces, at most `max_bytes` of it; then git is ended. GitFailed when it fails before that."""
    with _started(git_dir, args, config=config, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        left = max_bytes
        while left > 0 and (piece := process.stdout.read(min(CHUNK, left))):
            left -= len(piece)
            yield piece
        if left > 0 and process.wait(LOCAL_TIMEOUT) != 0:
            raise GitFailed(args[0], process.returncode, "")


@contextlib.contextmanager
def _started(
    git_dir: Path | None,
    args: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command(git_dir, args, config),
        cwd="/",
        env=environment(network=bool(protocols), protocols=protocols) | dict(env or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            # Its transports and pagers are children: the group goes, not the process alone.
            with contextlib.suppress(ProcessLookupError):  # ended by itself in between
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent input of a git that has ended
                    pipe.close()


def version() -> tuple[int, ...]:
    """The version of the git on this machine, as (2, 39, 5)."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text(None, "version"))
    if found is None:
        raise GitFailed("version", 0, "git does not say its version")
    return tuple(int(part) for part in found.groups(default="0"))
