"""What journeys have in common: a repository with a bug, tasks that are quick or slow, and what can be seen of them."""

from __future__ import annotations

import itertools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hub import Hub, eventually
from tests.sidecars import Sidecar

PASSES = {"type": "command_succeeds", "target": "python3 -m unittest -q"}
MARK = f"agentcom-journey-{os.getpid()}"
"""Stands in the command line of what a test watches from outside the sandbox."""
_count = itertools.count(1)

BRISK = {f"AGENTCOM_LEASE_{stage}_SECONDS": "6" for stage in ("ASSIGNED", "WORKING", "BLOCKED")}
"""Short enough to be lived through, long enough for a machine that is busy with other tests."""


def git(where: Path, *arguments: str) -> str:
    """What git said."""
    done = subprocess.run(["git", "-C", str(where), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@dataclass(frozen=True)
class Upstream:
    """A small repository with a bug that a test finds, registered with the hub as `slug`."""

    hub: Hub
    slug: str
    path: Path

    @classmethod
    def make(cls, hub: Hub, base: Path) -> Upstream:
        """Make it, and register it so that merges are pushed back to it."""
        made = cls(hub, f"calc-{next(_count)}", base / "upstream")
        made.path.mkdir()
        (made.path / "calc.py").write_text("def add(a, b):\n    return a - b\n")
        (made.path / "test_calc.py").write_text(
            "import unittest, calc\n\n\nclass Adds(unittest.TestCase):\n"
            "    def test_add(self):\n        self.assertEqual(3, calc.add(1, 2))\n"
        )
        who = ["-c", "user.name=Journey", "-c", "user.email=journey@example.invalid"]
        for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "A package with a bug"]):
            git(made.path, *command)
        git(made.path, "config", "receive.denyCurrentBranch", "updateInstead")
        hub.post("/api/repos", {"url": f"file://{made.path}", "slug": made.slug})
        return made

    def fix(self, **task: Any) -> int:
        """A task that repairs the bug, proven by the test; its id."""
        wanted = {"title": "Fix add", "command": "sed -i s/a.-.b/a+b/ calc.py", **task}
        return self.hub.submit(repo=self.slug, verification_steps=[PASSES], **wanted)

    @property
    def mirror(self) -> Path:
        return self.hub.data_dir / "repos" / f"{self.slug}.git"

    def pulls(self) -> list[Any]:
        return [pull for pull in self.hub.get("/api/pulls")["results"] if pull["repo"] == self.slug]

    def verified_pull(self) -> Any:
        """The one pull request, once the hub's side has repeated its checks."""

        def passed() -> Any:
            (pull,) = self.pulls() or [None]
            return pull if pull and pull["verification"] == "passed" else None

        return eventually(passed, within=90, what="a verified pull request")


def slow(hub: Hub, seconds: int, **task: Any) -> int:
    """Work that goes on for so long and can be seen from outside the sandbox; its id."""
    return hub.submit(command=f"for i in $(seq {seconds * 5}); do sleep 0.2; done; echo {MARK}", **task)


def holder(hub: Hub, task: int, crew: list[Sidecar]) -> tuple[Sidecar, Sidecar]:
    """The sidecar that works on `task`, and the other one."""
    hub.await_status(task, "working")
    name = hub.task(task)["attempts"][-1]["agent"]
    first, second = crew
    return (first, second) if first.name == name else (second, first)


def outcomes(hub: Hub, task: int) -> list[str]:
    """How each attempt ended, oldest first; an open one is "open"."""
    return [attempt["outcome"] for attempt in hub.task(task)["attempts"]]


def salvaged(hub: Hub, task: int) -> list[Any]:
    """The task's attempts, once what each of them changed is saved."""

    def saved() -> list[Any]:
        attempts: list[Any] = hub.task(task)["attempts"]
        return attempts if all(attempt["salvage_ref"] for attempt in attempts) else []

    found: list[Any] = eventually(saved, within=60, what="salvage")
    return found


def events(hub: Hub, task: int) -> list[str]:
    """What happened to the task."""
    return [event["kind"] for event in hub.get(f"/api/tasks/{task}/history?page_size=200")["results"]]


def running_marks() -> list[int]:
    """Processes of the tests' slow commands that are still alive."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                said = (directory / "cmdline").read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            if MARK.encode() in said:
                found.append(int(directory.name))
    return found


def idle(hub: Hub) -> bool:
    """Every agent is there and has nothing to do."""
    return {agent["state"] for agent in hub.get("/api/agents")["results"]} == {"idle"}
