"""A hub that carries goals out with everything that is not a model as it is in life, in one process.

The mirror and git are real, the hub asks over Ollama's wire and pays by the ledger, work is done in the sidecar's
workspaces, and the sidecar's own verification repeats the checks in the sandbox, on what was really merged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db.models.functions import Now

from apps.demo.ollama import Answer, Asked, OllamaServer
from apps.goals import actions, jobs
from apps.goals.actions import Wanted
from apps.goals.models import Goal, Merge
from apps.ledger.models import Charge
from apps.tasks import attempts
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task, Work
from apps.tasks.sweep import sweep
from sidecar.executors import Sandbox
from sidecar.git import Remote
from sidecar.publish import commit_tree
from sidecar.verify import verify
from sidecar.wire.nouns import Check, Report
from sidecar.workspace import Workspace
from tests import cast
from tests.apps.forge.workshop import UNHOOKED, Workshop, drain
from tests.eval.acting import Change, Edit, Write
from tests.eval.tasks import PLACE
from tests.goals.cases import Case
from tests.goals.oracles import Heard, Speaker, heard

LONGEST_RUN = 60
"""Rounds of the crew after which something goes round in circles."""


def tree_of(name: str) -> dict[str, str]:
    """The files of a repository of the evaluation."""
    root = PLACE / name / "tree"
    files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(root)): path.read_text("utf-8") for path in files}


@dataclass
class Voices:
    """Who answers when the hub asks; replaceable while the server runs. `asked` is every prompt, taken apart."""

    planner: Speaker
    judge: Speaker

    def __post_init__(self) -> None:
        self.asked: list[Heard] = []

    def __call__(self, asked: Asked) -> Answer:
        said = heard(str(asked.last["content"]))
        self.asked.append(said)
        return Answer(text=(self.planner if said.plans else self.judge)(said), piece=4_000)


@dataclass(frozen=True)
class Spent:
    """What a goal has cost by the ledger: calls, tokens, and micro-USD."""

    calls: int
    tokens: int
    micro: int


@dataclass(frozen=True)
class _Job:
    """What a worker is told, read before the loop runs, in which the database is not to be touched."""

    attempt: Attempt
    checks: Sequence[Check]
    changes: Sequence[Change] | None
    message: str


class Works:
    """One repository, the agents, and the goals in it."""

    def __init__(
        self, root: Path, server: OllamaServer, voices: Voices, case: Case, files: Mapping[str, str] | None = None
    ) -> None:
        """`files` are in the repository besides those of the case."""
        self.root, self.server, self.voices, self.case = root, server, voices, case
        self.shop = Workshop(root, files={**tree_of(case.tree), **(files or {})})
        self.sandbox = Sandbox()

    def submit(self) -> Goal:
        """Handed in by a person; the hub turns to it by itself."""
        wanted = Wanted(
            title=self.case.title,
            repo=self.shop.repo,
            success_criteria=[criterion.text for criterion in self.case.criteria],
            checks=[{"type": "command_succeeds", "target": self.case.check}],
        )
        goal, _ = actions.submit(wanted, by="ann")
        drain()
        return cast.fresh(goal)

    def run(self, goal: Goal) -> Goal:
        """Let everybody work, and every pause be over, until nothing more happens."""
        for _ in range(LONGEST_RUN):
            if not self.step(goal):
                return cast.fresh(goal)
        raise AssertionError(f"it goes round in circles: {cast.fresh(goal)!r}")

    def step(self, goal: Goal) -> bool:
        """One round of everybody's work, or the end of a pause; False when there is neither."""
        drain()
        match()
        if taken := list(Attempt.objects.open().select_related("task", "agent").order_by("pk")):
            self._round(taken)
            return True
        return self._wait_is_over(goal)

    def _wait_is_over(self, goal: Goal) -> bool:
        """Whether there was a pause, of the goal or of a task, that is over now; the clock comes round."""
        tasks = Task.objects.filter(not_before__isnull=False, finished_at__isnull=True).update(not_before=Now())
        goals = Goal.objects.active().filter(pk=goal.pk, not_before__isnull=False).update(not_before=None)
        sweep()
        jobs.sweep()
        return bool(tasks or goals)

    def _round(self, taken: Sequence[Attempt]) -> None:
        """Everybody who has work checks it out now, so that those at work at once start from the same head."""
        for attempt in taken:
            attempts.accept(cast.fence(attempt))
        work = [self._job(attempt) for attempt in taken]
        for job, (result, report) in zip(work, asyncio.run(self._all(work)), strict=True):
            attempts.complete(cast.fence(job.attempt), result, [report.model_dump(mode="json")])

    def _job(self, attempt: Attempt) -> _Job:
        task = attempt.task
        checks = [Check.model_validate(check) for check in task.checks]
        if task.work == Work.VERIFICATION:
            return _Job(attempt, checks, None, "")
        part = self.case.part(task.title)
        return _Job(attempt, checks, (task.remarks and part.again) or part.changes, task.title)

    async def _all(self, work: Sequence[_Job]) -> list[tuple[dict[str, str], Report]]:
        return list(await asyncio.gather(*map(self._one, work)))

    async def _one(self, job: _Job) -> tuple[dict[str, str], Report]:
        attempt, task = job.attempt, job.attempt.task
        remote = Remote(str(self.shop.mirror))
        place = self.root / f"agent-{attempt.agent_id}"
        start = task.commit or task.start
        workspace = await Workspace.prepare(remote=remote, attempt=attempt.pk, root=place, start=start)
        if job.changes is None:
            report = await verify(
                job.checks, tree=workspace.tree, sandbox=self.sandbox, workspace=workspace, base=task.base,
                commit=task.commit,
            )  # fmt: skip
            return {}, report
        for change in job.changes:
            _make(change, workspace.tree)
        report = await verify(job.checks, tree=workspace.tree, sandbox=self.sandbox, workspace=workspace)
        author = _Author(attempt.agent.name)
        git = workspace.git
        commit = await commit_tree(git, tree=report.tree, parent=workspace.base, message=job.message, author=author)
        await git.run("push", "--quiet", UNHOOKED, remote.url, f"{commit}:refs/heads/{attempt.branch}", remote=remote)
        return {"commit": commit, "branch": attempt.branch, "tree": report.tree, "output": "I did it."}, report

    # --- what came of it ----------------------------------------------------------------------------------------------

    def spent(self, goal: Goal) -> Spent:
        charges = list(Charge.objects.filter(goal=str(goal.pk)))
        assert all(charge.status == "settled" and charge.certain for charge in charges)
        tokens = sum(charge.usage.prompt + charge.usage.output for charge in charges)
        return Spent(len(charges), tokens, sum(charge.cost_micro or 0 for charge in charges))

    def counted(self) -> int:
        """Tokens as the server has counted them."""
        return sum(billed.prompt + billed.output for billed in self.server.billed)

    def returned(self, goal: Goal) -> int:
        """How often the work of a slice came back from a merge."""
        return Merge.objects.filter(goal=goal, slice__isnull=False, status__in=["red", "conflict"]).count()


@dataclass(frozen=True)
class _Author:
    name: str

    @property
    def email(self) -> str:
        return f"{self.name}@agentcom.invalid"


def _make(change: Change, tree: Path) -> None:
    """By somebody who reads before he writes: what is not there is not replaced."""
    target = tree / change.path if isinstance(change, Edit | Write) else tree
    if isinstance(change, Write):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(change.content)
    elif isinstance(change, Edit):
        text = target.read_text()
        assert change.old in text, f"{change.path} does not say {change.old!r}: {text}"
        target.write_text(text.replace(change.old, change.new))
