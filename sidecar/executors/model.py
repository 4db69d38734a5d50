"""The task is words: a model works at it with tools, within limits, until it says that it is done or may not go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.agent import prompts
from sidecar.agent.asking import Asker, Manner
from sidecar.agent.context import FIRST_GUESS
from sidecar.agent.endings import Ending, Finished
from sidecar.agent.faults import Blame, ModelMissing
from sidecar.agent.limits import Limits, Spent
from sidecar.agent.loop import Loop, Step
from sidecar.agent.models.base import Model
from sidecar.agent.tools.box import Box
from sidecar.agent.trajectory import Trajectory
from sidecar.detect_tests import runner_of
from sidecar.executors.base import Execution, Job, Place, Progress, Sandbox
from sidecar.git import GitFailed
from sidecar.tree import NotAWork
from sidecar.wire.nouns import AgentStep, Check

FOR_THE_CHECKS = 0.15
"""This share of an attempt's time is left for what comes after the model."""
TOP, NAME = 40, 80


@dataclass(frozen=True, kw_only=True)
class Mind:
    """One model that can be had here: how to reach it and speak to it; `borrowed` when its endpoint is the hub's."""

    name: str
    connect: Callable[[], Model]
    manner: Manner
    borrowed: bool = False


class Thinking:
    """Runs the loop of `sidecar.agent` with the model that the assignment names."""

    def __init__(self, name: str, find: Callable[[str, str], Mind | None]) -> None:
        """`name` is the executor's, by kind of endpoint; `find` gives its models by name and address."""
        self.name = name
        self._find = find

    async def execute(self, job: Job, place: Place, sandbox: Sandbox, progress: Progress) -> Execution:
        """Done means that the model says so; what it did is for the checks to judge."""
        mind = self._find(job.model, job.url)
        if mind is None:
            return Execution(
                code="model_missing",
                message=f"This machine does not offer the model {job.model}{f' at {job.url}' if job.url else ''}.",
                blame="infrastructure" if job.url else "setup",  # the hub has an address by what was offered: old news
            )
        model = mind.connect()
        try:
            return await _Run(job, place, sandbox=sandbox, progress=progress, mind=mind, model=model).execute()
        finally:
            await model.close()


class _Run:
    """One run of one model."""

    def __init__(
        self, job: Job, place: Place, *, sandbox: Sandbox, progress: Progress, mind: Mind, model: Model
    ) -> None:
        self._job = job
        self._place = place
        self._progress = progress
        self._mind = mind
        self._began = time.monotonic()
        self._spent = Spent()
        self._trajectory = Trajectory(place.tree.parent, job.run)
        self._limits = Limits(steps=job.steps, seconds=job.timeout_seconds * (1 - FOR_THE_CHECKS))
        self._box = Box(
            place.tree,
            sandbox,
            deadline=lambda: self._limits.seconds - self._elapsed(),
            verify_command=_command_of(job.checks, place.tree),
            observation_characters=_room_in(model.context),
        )
        self._asker = Asker(
            model,
            mind.manner,
            system=prompts.system,
            tools=self._box.specs,
            bounds=self._limits,
            spent=self._spent,
            elapsed=self._elapsed,
            purse=job.purse,
        )

    async def execute(self) -> Execution:
        top = await asyncio.to_thread(_top_of, self._place.tree)
        task = prompts.frame(self._job.brief, self._job.checks, top=top, steps=self._limits.steps)
        ending = await Loop(self._asker, self._box, self._kept).run(task)
        self._progress("note", f"{ending.reason}: {ending.message}"[:2_000])
        return self._execution(ending)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _kept(self, step: Step) -> None:
        diff = await self._diff() if any(used.outcome.changed for used in step.used) else ""
        kept = self._trajectory.keep(step, round(self._elapsed() * 1000), diff)
        tell(self._progress, kept, [used.outcome.brief for used in step.used])

    async def _diff(self) -> str:
        try:
            return await self._place.snapshot_diff()
        except (NotAWork, GitFailed, OSError):  # the checks will say so; a picture of the work is not worth an end
            return ""

    def _execution(self, ending: Ending) -> Execution:
        finished = isinstance(ending, Finished)
        return Execution(
            code="" if finished else ending.reason,
            message="" if finished else ending.message,
            summary=ending.message[:2_000],
            stop_reason=ending.reason,
            duration_ms=round(self._elapsed() * 1000),
            model=self._mind.name,
            tokens=self._spent.usage.by_class(),
            partial=ending.partial,
            blame=self._blame(ending),
            trajectory=self._trajectory.steps,
        )

    def _blame(self, ending: Ending) -> Blame | Literal[""]:
        """Whoever took a model off an endpoint of the hub's: it will hear so, and another attempt goes elsewhere."""
        if self._mind.borrowed and ending.reason == ModelMissing.code:
            return "infrastructure"
        return ending.blame


def tell(progress: Progress, step: AgentStep, briefs: Sequence[str]) -> None:
    """Show a step to those who watch: what was said, each tool with its arguments and result, what had to be mended.

    Of an answer that could not be read its tokens are shown with what the model was told.
    """
    if step.said:
        progress("note", step.said[:500])
    for note in step.notes:
        progress("note", note)
    tokens = sum(step.tokens.values())
    if step.complaint:
        unread = f"step {step.number} could not be read; the model was told: {step.complaint}"
        progress("note", unread[:2_000], tokens=tokens, duration_ms=step.model_ms)
    for use, brief in zip(step.uses, briefs, strict=False):
        progress(
            "tool",
            brief,
            tool=use.name,
            arguments=use.arguments[:2_000],
            result=use.observation[:2_000],
            tokens=tokens,
            duration_ms=use.duration_ms + step.model_ms,
        )
        tokens = 0  # one answer's tokens are shown once, however many calls it made


def _room_in(context: int) -> int:
    """Characters of one observation, for a context of so many tokens: an eighth of it, within reason."""
    return min(6_000, max(2_000, round(context / 8 * FIRST_GUESS)))


def _command_of(checks: Sequence[Check], tree: Path) -> str:
    """The command that proves most of the work, for the model to run after its edits."""
    for check in checks:
        if check.type == "command_succeeds" and check.target.strip():
            return check.target
        if check.type == "tests_pass":
            if check.target.strip() not in {"", "auto"}:
                return check.target
            if runner := runner_of(tree):
                return runner.command
    return ""


def _top_of(tree: Path) -> list[str]:
    names = sorted(f"{path.name}/" if path.is_dir() and not path.is_symlink() else path.name for path in tree.iterdir())
    return [*map(_on_a_line, names[:TOP]), *(["…"] if len(names) > TOP else [])]


def _on_a_line(name: str) -> str:
    """A name from the repository may hold whole paragraphs; in the frame of the task it is to be a name."""
    return (name if name.isprintable() else repr(name))[:NAME]
