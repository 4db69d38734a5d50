"""What every executor gets and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from sidecar.sandbox import Limits, Outcome, Policy, run
from sidecar.wire.nouns import Brief

StepKind = Literal["phase", "output", "tool", "check", "note"]


class Progress(Protocol):
    """Tell what is going on, a line at a time; never fails and never waits."""

    def __call__(self, kind: StepKind, text: str) -> None: ...


class Place(Protocol):
    """Where the work happens; a Workspace is one, and so is an empty directory for a task without a repository."""

    @property
    def tree(self) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one attempt: the fence's numbers, all that is known of the task, and how long it may take."""

    task: int
    attempt: int
    generation: int
    brief: Brief
    timeout_seconds: float


@dataclass(frozen=True)
class Sandbox:
    """The machine's policy and limits; the only way for an executor to start anything."""

    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)

    async def run(
        self,
        command: Sequence[str] | str,
        *,
        tree: Path,
        timeout_seconds: float,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        output: Callable[[bytes], None] | None = None,
        stop: asyncio.Event | None = None,
    ) -> Outcome:
        """`sidecar.sandbox.run` under this machine's policy and limits, with a deadline of its own."""
        limits = replace(self.limits, timeout_seconds=timeout_seconds)
        return await run(
            command, tree=tree, limits=limits, policy=self.policy, env=env, files=files, output=output, stop=stop
        )


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How one run of the work ended, whatever did it.

    `code` is empty when it succeeded, else a stable word (command_failed, deadline, no_command …) that `message`
    explains. Tokens by class, cost in micro-USD, duration in milliseconds.
    """

    code: str = ""
    message: str = ""
    summary: str = ""
    output: str = ""
    exit_code: int | None = None
    stop_reason: str = ""
    duration_ms: int = 0
    model: str = ""
    tokens: Mapping[str, int] = field(default_factory=dict)
    cost_microusd: int = 0

    @property
    def succeeded(self) -> bool:
        """The work was done; whether it is right is for the checks to say."""
        return not self.code


class Executor(Protocol):
    """One way of doing work in a tree. Cancelling `execute` leaves no process behind."""

    @property
    def name(self) -> str: ...

    async def execute(self, job: Job, place: Place, sandbox: Sandbox, progress: Progress) -> Execution:
        """Do the job in `place.tree`, starting things only through `sandbox`. Raises Unavailable without one."""
        ...
