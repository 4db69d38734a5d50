"""Where the demonstration takes place: a directory of its own, made anew each time, and an environment to match."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from apps.ops import hub
from sidecar.config import ConfigProblem
from sidecar.discover import ollama_address

MARK = "made-by-agentcom-demo"
KEPT = frozenset({MARK, "run.lock", "secret_key"})
"""What outlives the wiping: the mark and the lock that allow it, and the key that Django has read already."""
PLAYER = "AGENTCOM_DEMO_PLAYER_PORT"
"""Where a player would listen: chosen before the hub starts, which connects only where its settings allow it."""
INSIDE = "AGENTCOM_DEMO"
"""Set for the process that performs: when it all began, by time.monotonic()."""
SETTINGS = {
    "AGENTCOM_HEARTBEAT_SECONDS": "2",
    "AGENTCOM_LEASE_ASSIGNED_SECONDS": "10",
    "AGENTCOM_LEASE_WORKING_SECONDS": "10",
    "AGENTCOM_LEASE_BLOCKED_SECONDS": "10",
    "AGENTCOM_SWEEP_SECONDS": "0.5",
    "AGENTCOM_RETRY_BACKOFF_SECONDS": "1",
    "AGENTCOM_THINKING_BACKOFF_SECONDS": "2",
    "AGENTCOM_THINKING_CONTEXT": "16384",
    "AGENTCOM_ENDPOINT_NETWORKS": "127.0.0.0/8,::1/128",
}
"""Shorter than a hub's defaults, so that nobody has to wait long for what silence and failure lead to.

The hub thinks with the model of the machines, which is here, and loads it as they do.
"""
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Sample Author",
    "GIT_AUTHOR_EMAIL": "author@sample.invalid",
    "GIT_COMMITTER_NAME": "Sample Author",
    "GIT_COMMITTER_EMAIL": "author@sample.invalid",
}
SAMPLE = Path(__file__).resolve().parent.parent.parent / "fixtures" / "sample"


class Unusable(Exception):
    """The demonstration cannot take place there; the message says why and what to do."""


@dataclass(frozen=True)
class Ground:
    """The places in the directory."""

    directory: Path

    @property
    def sample(self) -> Path:
        return self.directory / "textkit"

    @property
    def machines(self) -> Path:
        return self.directory / "machines"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"


def claim(directory: Path) -> Path:
    """Make the directory, or find that an earlier demonstration made it. Raises Unusable: nothing else is wiped."""
    directory = directory.expanduser().resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        mark = directory / MARK
        if not mark.exists():
            if any(directory.iterdir()):
                raise Unusable(f"{directory} is not empty and no demo made it; name another with --directory.")
            mark.touch()
    except OSError as problem:
        raise Unusable(f"{directory} cannot be used: {problem.strerror}. Name another with --directory.") from problem
    return directory


def environment(directory: Path, outside: Mapping[str, str]) -> dict[str, str]:
    """What the hub of the demonstration is started with; nothing of another hub's settings gets in."""
    foreign = ("AGENTCOM_", "DATABASE_URL", "REDIS_URL", "GIT_")
    kept = {name: value for name, value in outside.items() if not name.startswith(foreign)}
    places = {"AGENTCOM_DATA_DIR": str(directory), **_ports(outside)}
    return kept | SETTINGS | places | {INSIDE: str(time.monotonic())}


def _ports(outside: Mapping[str, str]) -> dict[str, str]:
    """A port for a player, and leave for the hub to connect there and to the Ollama of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        player = probe.getsockname()[1]
    try:
        ollama = urlsplit(ollama_address(outside)).port
    except ConfigProblem:  # whoever looks for an Ollama says so
        ollama = player
    return {PLAYER: str(player), "AGENTCOM_ENDPOINT_PORTS": f"{ollama},{player}"}


@contextlib.contextmanager
def taken(directory: Path) -> Iterator[Ground]:
    """Have the directory to oneself, emptied, until the block ends. Raises Unusable."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(hub.only_one(directory))
        except hub.Occupied as occupied:
            owner = (directory / "run.lock").read_text(encoding="ascii").strip() or "unknown"
            raise Unusable(
                f"A demo already runs in {directory} (process {owner}). Stop it, or give this one a place of its own: "
                "make demo ARGS='--directory /tmp/another-demo'"
            ) from occupied
        _wipe(directory)
        ground = Ground(directory)
        for place in (ground.machines, ground.logs):
            place.mkdir()
        yield ground


def _wipe(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.name in KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def plant(place: Path) -> None:
    """Turn the bundled sample into a git repository whose work tree follows what the hub pushes to it."""
    shutil.copytree(SAMPLE, place, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    git(place, "init", "--quiet", "--initial-branch=main")
    git(place, "config", "receive.denyCurrentBranch", "updateInstead")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=textkit as it is: tests that pass, and bugs that they do not find")


def git(place: Path, *arguments: str, stdin: str | None = None) -> str:
    """What git prints, run on our own sample whatever git is configured like here. Raises CalledProcessError."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(place), *arguments]
    done = subprocess.run(command, env={**outside, **GIT}, capture_output=True, text=True, input=stdin, check=True)
    return done.stdout
