"""What every executor gets and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from sidecar.agent.faults import Blame
from sidecar.agent.purse import Free, Purse
from sidecar.sandbox import Exceeded, Limits, Outcome, Policy, Usage, run
from sidecar.wire.nouns import AgentStep, Brief, Check

StepKind = Literal["phase", "output", "tool", "check", "note"]


class Progress(Protocol):
    """Tell what is going on, a line at a time; never fails, never waits. For a tool: what it was and what it took."""

    def __call__(
        self,
        kind: StepKind,
        text: str,
        *,
        tool: str = "",
        arguments: str = "",
        result: str = "",
        tokens: int = 0,
        duration_ms: int = 0,
    ) -> None: ...


class Place(Protocol):
    """Where the work happens; a Workspace is one, and so is an empty directory for a task without a repository."""

    @property
    def tree(self) -> Path: ...

    async def snapshot_diff(self) -> str:
        """The work so far as a patch; nothing where there is no repository. Raises NotAWork, GitFailed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one attempt: the fence's numbers, all that is known of the task, and how far it may go.

    `model`, its `url`, `steps` and `purse` are for executors that think; `run` counts the runs of the attempt.
    """

    task: int
    attempt: int
    generation: int
    brief: Brief
    timeout_seconds: float
    checks: Sequence[Check] = ()
    model: str = ""
    url: str = ""
    steps: int = 0
    purse: Purse = field(default_factory=Free)
    run: int = 1


@dataclass(frozen=True)
class Sandbox:
    """The machine's policy and limits; the only way for an executor to start anything.

    It knows from one command to the next what their tree takes of the disk; so one attempt has one, or what `replace`
    makes of it.
    """

    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    usages: dict[Path, Usage] = field(default_factory=dict, compare=False, repr=False)

    def exceeded(self, tree: Path) -> Exceeded | None:
        """The limit of the disk that the commands in `tree` have passed; nothing is started there any more."""
        return self.usages[tree].exceeded if tree in self.usages else None

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
        talk: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None,
        errors: Callable[[bytes], None] | None = None,
    ) -> Outcome:
        """`sidecar.sandbox.run` under this machine's policy and limits, with a deadline of its own."""
        limits = replace(self.limits, timeout_seconds=timeout_seconds)
        return await run(
            command,
            tree=tree,
            limits=limits,
            policy=self.policy,
            env=env,
            files=files,
            output=output,
            stop=stop,
            talk=talk,
            errors=errors,
            usage=self.usages.setdefault(tree, Usage()),
        )


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How one run of the work ended, whatever did it.

    `code` is empty when it succeeded, else a stable word (command_failed, deadline, no_command …) that `message`
    explains. `partial` work is worth checking all the same; `blame` says what would help (see Result). Tokens by class,
    duration in milliseconds; what it cost is in the purse.
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
    partial: bool = False
    blame: Blame | Literal[""] = ""
    trajectory: Sequence[AgentStep] = ()

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
