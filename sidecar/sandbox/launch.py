"""A command line for each way of confining: what to start, with which environment, and what to look after."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sidecar.sandbox import bubblewrap, cgroup, detect
from sidecar.sandbox.places import search_path
from sidecar.sandbox.policy import LevelName, Limits, Policy

_BASE = {
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # byte code of a test run is no part of the work
}
# Joins the control groups named before `--`, then becomes what follows it.
_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 126; shift; done; shift; exec "$@"'


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for: the command in words, where, within which limits, and what it is given."""

    command: Sequence[str]
    tree: Path
    limits: Limits
    policy: Policy
    env: Mapping[str, str]
    files: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Ready to start.

    `inside` is where the host's pid of the sandbox's first process can be read; `marker` is how strays are found where
    there is no sandbox.
    """

    argv: list[str]
    environment: dict[str, str]
    directory: Path
    descriptors: tuple[int, ...]
    level: LevelName
    enforced: tuple[str, ...]
    inside: int | None = None
    marker: str = ""


def confined(request: Request, *, group: cgroup.Group, starting: ExitStack, running: ExitStack) -> Launch:
    """With bubblewrap. `starting` is closed once the command runs, `running` when it has ended. Raises Unavailable."""
    tree, files = request.tree, request.files
    how = detect.confinement(request.policy)
    if how.mode == "dropped":
        bubblewrap.hand_over(tree, bubblewrap.user_of(tree, how.mode))
    reading, writing = os.pipe()
    running.callback(os.close, reading)
    starting.callback(os.close, writing)
    os.set_blocking(reading, False)
    at = {name: f"{bubblewrap.FILES}/{name}" for name in files}
    home = {"HOME": bubblewrap.HOME, "TMPDIR": "/tmp", "PATH": search_path(request.policy)}  # noqa: S108 - the sandbox's own
    ready = bubblewrap.invocation(
        request.command,
        tree=tree,
        limits=request.limits,
        policy=request.policy,
        environment={**_BASE, **home, **request.env, **at},
        files=files,
        how=how,
        keep=starting,
    )
    # It holds the reading end as well: killed in this moment, we would leave it a pipe that it cannot write to, and its
    # child waiting for ever for a word from it.
    argv = [ready.argv[0], "--info-fd", str(writing), "--sync-fd", str(reading), *ready.argv[1:]]
    if group.doors:
        argv = ["/bin/sh", "-c", _JOIN, "sh", *group.doors, "--", *argv]
    return Launch(
        argv=argv,
        environment={"PATH": "/usr/bin:/bin"},
        directory=tree,
        descriptors=(*ready.descriptors, writing, reading),
        level="bubblewrap",
        enforced=detect.enforced(how, request.policy),
        inside=reading,
    )


def bare(request: Request, *, group: cgroup.Group, running: ExitStack) -> Launch:
    """Without bubblewrap, for an operator who opted out: limits and a supervisor, but no walls."""
    limits, files = request.limits, request.files
    private = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="agentcom-", ignore_cleanup_errors=True)))
    for name in ("home", "tmp", "files"):
        (private / name).mkdir(mode=0o700)
    for name, content in files.items():
        (private / "files" / name).write_bytes(content)
    marker = f"AGENTCOM_RUN={secrets.token_hex(16)}"
    own = [entry for entry in os.environ.get("PATH", "").split(":") if entry.startswith("/")]
    environment = {
        **_BASE,
        "HOME": str(private / "home"),
        "TMPDIR": str(private / "tmp"),
        "PATH": ":".join(dict.fromkeys([*search_path(request.policy).split(":"), *own])),
        **request.env,
        **{name: str(private / "files" / name) for name in files},
        "AGENTCOM_RUN": marker.partition("=")[2],
    }
    limited = f"fsize={limits.file_bytes},nofile={limits.open_files},cpu={limits.cpu_seconds},core=0"
    if sys.platform == "linux":
        limited += f",data={limits.memory_bytes}"
    supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervise.py"))]
    return Launch(
        argv=[*supervisor, str(limits.grace_seconds), limited, ":".join(group.doors), "--", *request.command],
        environment=environment,
        directory=request.tree,
        descriptors=(),
        level="off",
        enforced=detect.detect(request.policy).enforced,
        marker=marker,
    )
