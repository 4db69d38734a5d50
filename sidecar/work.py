"""One attempt from its assignment to its report: workspace, execute, verify (and again), publish.

`perform` never raises for what a task, a repository or the hub's git does: that becomes the report. What an attempt
leaves in its tree without having published it stays there, for `salvage_kept` to bring to the hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from sidecar import publish
from sidecar.agent.faults import Blame
from sidecar.agent.purse import Free, Kept, Purse
from sidecar.bench import Bench, Room
from sidecar.discard import discard
from sidecar.executors import Execution, Job
from sidecar.executors.base import StepKind
from sidecar.git import BadName, GitFailed, Remote
from sidecar.patience import patiently
from sidecar.publish import NoChange, NotPublished, Pushed
from sidecar.salvage import pending, salvage, shrink
from sidecar.sandbox import BadPolicy, Unavailable
from sidecar.tree import NotAWork
from sidecar.verify import in_words, verify, what_failed
from sidecar.wire.messages import TaskAssign, TaskCompleted, TaskFailed, TaskReleased, Terminal
from sidecar.wire.nouns import CheckResult, CheckStatus, DiffStat, Error, Previous, Report, Result, Step
from sidecar.workspace import Workspace, WorkspaceFailed

logger = structlog.get_logger(__name__)

VERIFY = "verify"
RUNNING = frozenset({"command_succeeds", "tests_pass"})
"""Checks that run something; the others look at the change itself."""
"""What an assignment may ask for beside an executor: only the checks, on a fresh checkout."""
SLACK_SECONDS = 10.0
"""How much later than the executor's own deadline the whole attempt is cut off, so that its output is not lost."""
SALVAGE_AGAIN_SECONDS = 600.0
REPORTS = 20
TRAJECTORY = 100

Tell = Callable[[Iterable[Step]], None]


class Ended(Exception):
    """The attempt is over without success; `code` and `message` go into its report."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = Error(code=code, message=message[:4_000])


async def perform(assign: TaskAssign, bench: Bench, tell: Tell) -> Terminal | None:
    """Do the attempt and answer its terminal report. Cancel it to stop the work; no process of it is left then."""
    return await Attempt(assign, bench, tell).run()


async def salvage_kept(bench: Bench, *, busy: Iterable[int] = ()) -> int:
    """Bring to the hub what ended attempts left in their trees; the number of trees that had to stay for now."""
    kept = 0
    try:
        left = await asyncio.to_thread(pending, bench.root, busy=set(busy))
    except OSError:  # what cannot be removed is in nobody's way; it is tried again
        logger.exception("cannot look through old attempts")
        return 0
    for workspace in left:
        try:
            kept += await _salvage(workspace, bench)
        except OSError:  # leftovers must never end the work that runs; they are tried again
            logger.exception("cannot salvage", attempt=workspace.attempt)
            kept += 1
    return kept


async def _salvage(workspace: Workspace, bench: Bench) -> bool:
    """Whether the tree had to stay."""
    marker = workspace.directory / "kept"
    if marker.exists() and time.time() - marker.stat().st_mtime < SALVAGE_AGAIN_SECONDS:
        return True
    done = await salvage(workspace, remote=Remote(workspace.url, bench.token))
    logger.info(
        "salvaged",
        attempt=workspace.attempt,
        ref=done.ref,
        commit=done.commit,
        kept=done.kept,
        abandoned=done.abandoned,
    )
    return bool(done.kept)


class Attempt:
    """The state of one attempt while it runs; what it has found so far is in its report however it ends."""

    def __init__(self, assign: TaskAssign, bench: Bench, tell: Tell) -> None:
        self._assign = assign
        self._bench = bench
        self._tell = tell
        self._began = time.monotonic()
        self._reports: list[Report] = []
        self._execution = Execution()
        self._runs = 0
        self._workspace: Workspace | None = None
        self._pushed: Pushed | None = None
        self._purse = _purse_of(assign, bench)
        self._sandbox = bench.sandbox

    async def run(self) -> Terminal:
        """The report. Raises CancelledError when stopped."""
        done = False
        try:
            async with asyncio.timeout(self._assign.timeout_seconds + SLACK_SECONDS):
                await self._all()
            done = True
            return self._completed()
        except TimeoutError:
            return self._failed(Error(code="deadline", message="The attempt's time was over."))
        except Ended as end:
            return self._failed(end.error)
        except (Unavailable, BadPolicy) as lack:
            return self._released(Error(code="sandbox_missing", message=str(lack)[:4_000]))
        except Exception as bug:
            logger.exception("an attempt broke", task=self._assign.task, attempt=self._assign.attempt)
            return self._failed(Error(code="internal", message=f"{type(bug).__name__}: {bug}"[:4_000]))
        finally:
            await self._clear(done)

    async def _all(self) -> None:
        if self._assign.executor == VERIFY:
            await self._verify_commit()
            return
        place = await self._place()
        await self._build(place)
        if self._workspace is not None:
            await self._publish(self._workspace)

    # --- a place to work --------------------------------------------------------------------------------------------

    async def _place(self) -> Workspace | Room:
        if self._assign.repo is None:
            return await self._room()
        return await self._checkout(self._assign.start)

    async def _room(self) -> Room:
        directory = self._directory
        await asyncio.to_thread(discard, directory)
        (directory / "tree").mkdir(parents=True, mode=0o755)
        return Room(directory / "tree")

    async def _checkout(self, start: str) -> Workspace:
        self._phase("preparing the workspace")
        try:
            self._workspace = await patiently(
                lambda: Workspace.prepare(
                    remote=self._remote, attempt=self._assign.attempt, root=self._bench.root, start=start
                ),
                failures=WorkspaceFailed,
                heard=self._note,
            )
        except (WorkspaceFailed, GitFailed, BadName, OSError) as failed:
            raise Ended("workspace", str(failed)) from failed
        self._note(f"at commit {self._workspace.base[:12]}")
        if self._assign.resume:
            resumed = await self._workspace.resume(self._assign.resume, self._remote)
            self._note(f"{'goes on with' if resumed else 'cannot use'} what {self._assign.resume[:12]} holds")
        return self._workspace

    # --- build, verify, fix -----------------------------------------------------------------------------------------

    async def _build(self, place: Workspace | Room) -> None:
        """Run the work until its checks pass, or as often as it may be run."""
        while True:
            self._runs += 1
            self._execution = _together(self._execution, await self._execute(place))
            self._heed_the_disk(place)
            if not self._execution.succeeded and not self._execution.partial:
                raise Ended(self._execution.code, self._execution.message)
            report = await self._check(place)
            if self._proven(report):
                return
            if not self._execution.succeeded:
                raise Ended(self._execution.code, _both(self._execution.message, report))
            assert report is not None
            if self._runs > self._assign.max_fixes:
                raise Ended("verification_failed", what_failed(report))
            self._note(f"run {self._runs} did not pass its checks; running the work again")

    def _proven(self, report: Report | None) -> bool:
        """Work that was not brought to its end has only its checks to speak for it."""
        if report is None or not report.checks:
            return self._execution.succeeded
        return report.status == "pass"

    async def _execute(self, place: Workspace | Room) -> Execution:
        executor = self._bench.executors.get(self._assign.executor)
        if executor is None:
            raise Ended("executor_missing", f"This sidecar has no executor {self._assign.executor}.")
        left = self._assign.timeout_seconds - (time.monotonic() - self._began)
        if left <= 0:
            raise Ended("deadline", "The attempt's time was over before its work could run.")
        self._phase(f"run {self._runs} with {executor.name}")
        job = Job(
            task=self._assign.task,
            attempt=self._assign.attempt,
            generation=self._assign.generation,
            brief=self._assign.brief.model_copy(update={"previous": self._previous()}),
            timeout_seconds=left,
            checks=self._assign.checks,
            model=self._assign.model,
            url=self._assign.url,
            steps=self._assign.max_steps,
            purse=self._purse,
            run=self._runs,
        )
        return await executor.execute(job, place, self._sandbox, self._step)

    def _previous(self) -> list[Previous]:
        """Earlier attempts, and the runs of this one, so that the next run knows what is wrong."""
        own = [
            Previous(
                attempt=self._assign.attempt,
                outcome="unverified",
                error=what_failed(report),
                failed_checks=[check for check in report.checks if check.status != "pass"][:20],
            )
            for report in self._reports
        ]
        return [*self._assign.brief.previous, *own][-10:]

    async def _check(self, place: Workspace | Room) -> Report | None:
        if not self._assign.checks:
            return None
        self._phase("checking")
        report = await verify(
            self._assign.checks,
            tree=place.tree,
            sandbox=self._sandbox,
            workspace=self._workspace,
            told=self._checked,
        )
        self._reports.append(report)
        self._heed_the_disk(place)
        return report

    def _heed_the_disk(self, place: Workspace | Room) -> None:
        """Nothing runs any more in a tree whose commands took too much; whoever ran them, that is how it ended."""
        if exceeded := self._sandbox.exceeded(place.tree):
            blame: Blame = "infrastructure" if exceeded.code == "disk_full" else "capability"
            self._execution = replace(self._execution, partial=False, blame=blame)
            raise Ended(exceeded.code, exceeded.message)

    async def _verify_commit(self) -> None:
        """Only the checks, on a fresh checkout of exactly the commit asked for; what they find is the result."""
        if self._assign.repo is None or not self._assign.commit:
            raise Ended("workspace", "A verification names a repository and a commit; this one does not.")
        workspace = await self._checkout(self._assign.commit)
        self._runs = 1
        self._phase("checking")
        report = await verify(
            self._assign.checks,
            tree=workspace.tree,
            sandbox=self._sandbox,
            workspace=workspace,
            base=await self._known_base(workspace),
            commit=self._assign.commit,
            told=self._checked,
        )
        if self._assign.guard and report.status == "pass":
            report = report.model_copy(update={"as_before": await self._as_before(workspace)})
        self._reports.append(report)
        self._heed_the_disk(workspace)

    async def _as_before(self, workspace: Workspace) -> CheckStatus:
        """How the checks end when the guarded files are as the base has them, whatever the work made of them."""
        self._phase("checking with the tests as they were")
        try:
            await workspace.put_back(self._assign.guard, self._assign.base)
        except (GitFailed, OSError) as problem:
            self._note(f"the tests as they were cannot be put back: {problem}")
            return "error"
        report = await verify(
            [check for check in self._assign.checks if check.type in RUNNING],
            tree=workspace.tree,
            sandbox=self._sandbox,
            workspace=workspace,
            base=self._assign.base,
            told=self._checked,
        )
        return report.status

    async def _known_base(self, workspace: Workspace) -> str:
        if self._assign.base and await workspace.git.commit_of(self._assign.base) is None:
            raise Ended("workspace", f"The repository does not have the base commit {self._assign.base}.")
        return self._assign.base

    # --- publish ----------------------------------------------------------------------------------------------------

    async def _publish(self, workspace: Workspace) -> None:
        """Push exactly the tree that was verified; what the checks themselves left behind is not part of it."""
        self._phase("publishing")
        verified = self._reports[-1].tree if self._reports else ""
        try:
            self._pushed = await publish.publish(
                workspace,
                branch=self._assign.branch,
                message=publish.message(self._assign.brief.title, task=self._assign.task, attempt=self._assign.attempt),
                author=self._assign.identity,
                remote=self._remote,
                tree=verified,
            )
        except NoChange:
            if not self._execution.succeeded:  # checks that pass on an untouched tree say nothing about why it is so
                raise Ended(self._execution.code, self._execution.message) from None
            raise Ended("no_change", "The work changed nothing in the repository.") from None
        except (NotPublished, GitFailed, BadName, OSError) as failed:
            raise Ended("publish", str(failed)) from failed
        if self._reports:
            self._reports[-1] = self._reports[-1].model_copy(update={"commit": self._pushed.commit})
        self._note(f"pushed {self._pushed.commit[:12]} to {self._pushed.branch}")

    # --- how it ended -----------------------------------------------------------------------------------------------

    def _completed(self) -> TaskCompleted:
        return TaskCompleted(
            task=self._assign.task,
            attempt=self._assign.attempt,
            result=self._result(),
            reports=self._reports[-REPORTS:],
        )

    def _failed(self, error: Error) -> TaskFailed:
        return TaskFailed(
            task=self._assign.task,
            attempt=self._assign.attempt,
            error=error,
            result=self._result(),
            reports=self._reports[-REPORTS:],
        )

    def _released(self, error: Error) -> TaskReleased:
        return TaskReleased(task=self._assign.task, attempt=self._assign.attempt, error=error)

    def _result(self) -> Result:
        ran, pushed = self._execution, self._pushed
        return Result(
            executor=self._assign.executor,
            summary=ran.summary[:2_000] or in_words(self._reports),
            output=ran.output[:60_000],
            exit_code=ran.exit_code,
            stop_reason=ran.stop_reason,
            runs=self._runs,
            duration_ms=self._elapsed(),
            base=self._base(),
            commit=pushed.commit if pushed else self._assign.commit,
            tree=pushed.tree if pushed else (self._reports[-1].tree if self._reports else ""),
            branch=pushed.branch if pushed else "",
            diff=DiffStat(files=pushed.files, added=pushed.added, deleted=pushed.deleted) if pushed else DiffStat(),
            model=ran.model[:200],
            tokens=dict(ran.tokens),
            cost_microusd=self._purse.microusd,
            partial=ran.partial,
            blame=ran.blame,
            trajectory=list(ran.trajectory)[-TRAJECTORY:],
        )

    def _base(self) -> str:
        if self._assign.executor == VERIFY:
            return self._assign.base
        return self._workspace.base if self._workspace else ""

    async def _clear(self, done: bool) -> None:
        """Remove what holds nothing worth keeping: published or merely verified trees, and rooms."""
        if self._assign.executor == VERIFY or self._assign.repo is None or done:
            try:
                await asyncio.to_thread(discard, self._directory)
            except OSError:  # the report matters more than the room it leaves; salvage tries again
                logger.exception("cannot clear an attempt away", attempt=self._assign.attempt)
        elif self._workspace is not None and self._sandbox.exceeded(self._workspace.tree):
            try:
                await shrink(self._workspace)
            except (GitFailed, NotAWork, OSError):  # then it goes when it is salvaged
                logger.exception("cannot make an attempt smaller", attempt=self._assign.attempt)

    # --- smaller parts ----------------------------------------------------------------------------------------------

    @property
    def _directory(self) -> Path:
        return self._bench.root / "attempts" / str(self._assign.attempt)

    @property
    def _remote(self) -> Remote:
        assert self._assign.repo is not None
        try:
            return Remote(self._bench.hub + self._assign.repo.path, self._bench.token)
        except BadName as bad:
            raise Ended("workspace", str(bad)) from bad

    def _elapsed(self) -> int:
        return round((time.monotonic() - self._began) * 1000)

    def _step(self, kind: StepKind, text: str, **facts: Any) -> None:
        self._tell([Step(at_ms=self._elapsed(), kind=kind, text=text[:2_000], **facts)])

    def _phase(self, text: str) -> None:
        self._step("phase", text)

    def _note(self, text: str) -> None:
        self._step("note", text)

    def _checked(self, result: CheckResult) -> None:
        self._step("check", f"{result.status}: {result.description or f'{result.type} {result.target}'.strip()}")


def _purse_of(assign: TaskAssign, bench: Bench) -> Purse:
    """For the whole attempt, however many runs it takes."""
    if assign.allowance is None or bench.book is None:
        return Free()
    return Kept(assign.allowance, bench.book, task=assign.task, attempt=assign.attempt, model=assign.model)


def _together(before: Execution, now: Execution) -> Execution:
    """The last run of an attempt, with what all of its runs used and did."""
    tokens = {name: before.tokens.get(name, 0) + now.tokens.get(name, 0) for name in {**before.tokens, **now.tokens}}
    return replace(
        now,
        tokens=tokens,
        duration_ms=before.duration_ms + now.duration_ms,
        trajectory=[*before.trajectory, *now.trajectory],
    )


def _both(message: str, report: Report | None) -> str:
    return f"{message} {what_failed(report)}" if report is not None and report.status != "pass" else message


def forget_remains(root: Path, assign: TaskAssign) -> None:
    """After a crash: what a verification left is a checkout and nothing to salvage."""
    if assign.executor == VERIFY:
        with contextlib.suppress(OSError):  # it is cleared away with what other attempts left
            discard(root / "attempts" / str(assign.attempt))
