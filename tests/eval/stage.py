"""A hub and two sidecars for the evaluation, and the tasks' way through them."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.ops import valkey
from tests.eval.outcome import Run
from tests.eval.plant import plant
from tests.eval.tasks import EvalTask
from tests.hub import Hub, eventually, hub_at
from tests.sidecars import Sidecar

AGENTS = ("ada", "bob")
FINAL = frozenset({"completed", "dead", "cancelled"})
CALM = {
    "AGENTCOM_HEARTBEAT_SECONDS": "2",
    "AGENTCOM_LOG_LEVEL": "WARNING",
    **{f"AGENTCOM_LEASE_{stage}_SECONDS": "30" for stage in ("ASSIGNED", "WORKING", "BLOCKED")},
}
"""Leases that a busy machine keeps."""
LOOK_SECONDS = 0.5
JOIN_SECONDS = 900


class TooLong(Exception):
    """The time for the evaluation was over before everything had ended."""


class Machine(Sidecar):
    """A sidecar with one model, by the Ollama at `url`."""

    def __init__(self, hub: Hub, name: str, root: Path, *, url: str, model: str) -> None:
        super().__init__(hub, name, root)
        self.model = model
        self.env |= {"OLLAMA_HOST": url}

    def join(self, *options: str) -> Machine:
        """Enrol, and put the model to its trial; AssertionError with what was said when it is not offered."""
        code = self.hub.post("/api/agents/enrolment-codes", {"name": self.name})["code"]
        command = self._command(
            "join", self.hub.url, "--code", code, "--name", self.name, "--model", self.model, *options
        )
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=JOIN_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{self.model}: not offered" not in done.stdout, done.stdout
        assert "context" in done.stdout, done.stdout
        return self


@dataclass(frozen=True)
class Stage:
    """Where tasks are played; `at` is the directory for their repositories."""

    hub: Hub
    crew: Sequence[Machine]
    at: Path

    def register(self, tasks: Sequence[EvalTask]) -> None:
        """Make the repository of every task known to the hub."""
        for task in tasks:
            place = plant(task, self.at / task.name)
            self.hub.post("/api/repos", {"url": place.as_uri(), "slug": task.name})

    def submit(self, task: EvalTask, player: str, **more: Any) -> int:
        """The task's number."""
        return int(self.hub.post("/api/tasks", task.submission(player, **more))["id"])

    def ended(self, numbers: Sequence[int], deadline: float) -> Iterator[int]:
        """Each task as soon as nothing more will come of it: it is over, and so is the verification of its work.

        Raises TooLong at `deadline`, by time.monotonic(), or AssertionError when a sidecar has gone.
        """
        left = set(numbers)
        while left:
            if time.monotonic() > deadline:
                raise TooLong(f"{len(left)} tasks had not ended.")
            assert all(one.running for one in self.crew), "a sidecar has ended by itself"
            tasks = {task["id"]: task for task in self._all("/api/tasks?page_size=200&work=change")}
            pulls = {pull["task"]: pull for pull in self._all("/api/pulls?page_size=200")}
            over = {one for one in left if _over(tasks[one], pulls.get(one))}
            yield from sorted(over)
            left -= over
            if left and not over:
                time.sleep(LOOK_SECONDS)

    def result(self, task: EvalTask, player: str, number: int) -> Run:
        """Everything there is on a task that has ended."""
        pull = next((one for one in self._all("/api/pulls?page_size=200") if one["task"] == number), None)
        return Run(
            task=task,
            player=player,
            done=self.hub.task(number),
            pull=eventually(lambda: self._assessed(pull["id"]), what="the risk of verified work") if pull else None,
            trajectory=self.hub.get(f"/api/tasks/{number}/trajectory")["steps"],
        )

    def _assessed(self, number: int) -> Mapping[str, Any] | None:
        """The pull request, once its risk has heard of the verification, which comes a moment after it."""
        pull: Mapping[str, Any] = self.hub.get(f"/api/pulls/{number}")
        unheard = any(reason["code"] == "verification_unknown" for reason in pull["risk_reasons"])
        return None if unheard else pull

    def _all(self, path: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while path:
            page = self.hub.get(path)
            found += page["results"]
            path = str(page["next"] or "").removeprefix(self.hub.url)
        return found

    def logs(self) -> str:
        """The last words of every process."""
        return "\n".join([self.hub.logs(), *(one.log() for one in self.crew)])


def _over(task: Mapping[str, Any], pull: Mapping[str, Any] | None) -> bool:
    if task["status"] != "completed":
        return task["status"] in FINAL
    return pull is not None and pull["verification"] in {"passed", "failed"}


@contextlib.contextmanager
def stage(directory: Path, *, url: str, model: str) -> Iterator[Stage]:
    """Everything up and idle until the block ends; nothing of it is left then."""
    places = [directory / name for name in ("hub", "repos", *AGENTS)]
    for place in places:
        place.mkdir()
    with valkey.start(directory) as hints, hub_at(places[0], hints.url, clusters=True, env=CALM) as hub:
        crew = [Machine(hub, name, directory / name, url=url, model=model) for name in AGENTS]
        try:
            with ThreadPoolExecutor(len(crew)) as pool:
                list(pool.map(lambda one: one.join().start(), crew))
            yield Stage(hub, crew, places[1])
        finally:
            for one in crew:
                one.end()
