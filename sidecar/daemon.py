"""The sidecar as a process: carries out what the session asks for, until it is told to leave.

One event loop, one decision at a time. A part that fails ends the process; the supervisor starts it again, and the
journal remembers. Nothing a task does runs in this process.
"""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

import structlog

from sidecar import __version__, minds, mode
from sidecar.bench import Bench
from sidecar.callbook import CallBook
from sidecar.config import Config
from sidecar.effects import Effect, Enter, Forget, Hangup, Keep, KeepReport, Mode, Restart, Send, Start, Stop
from sidecar.executors import EXECUTORS
from sidecar.journal import Entry, Journal, RootLock
from sidecar.link import Link
from sidecar.load import Meter
from sidecar.machine import clock, host
from sidecar.minds import Minds
from sidecar.offering import Offering
from sidecar.report import fit
from sidecar.restarts import Restarts
from sidecar.sandbox import Level, Policy, detect
from sidecar.sandbox.processes import send, waiting_for_nobody
from sidecar.session import Session
from sidecar.trialbook import TrialBook
from sidecar.wire import VERSION
from sidecar.wire.messages import (
    CallsSettled,
    EndpointRestart,
    EndpointRestarted,
    EndpointsKnown,
    Frame,
    Hello,
    TaskAssign,
    TaskFailed,
    TaskReleased,
    Terminal,
)
from sidecar.wire.nouns import EndpointState, Error, ModelOffer, Sandbox, Step
from sidecar.work import VERIFY, forget_remains, perform, salvage_kept

logger = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
LOAD_SECONDS = 10.0
FIRST_LOAD_SECONDS = 1.0
"""What a processor does is seen over time only."""
STOP_SECONDS = 10.0
"""Stopped work is killed after its grace of under two seconds; more than this means that something is wrong."""
DELIVERY_SECONDS = 5.0
"""How long a leaving sidecar waits for the hub to settle its last reports; what stays is in the journal."""
SALVAGE_SECONDS = 60.0
RESTART = 75
"""The exit code of a process that wants to be started again: not 0, so that no supervisor takes it for the end."""

Perform = Callable[[TaskAssign, Bench, Callable[[Iterable[Step]], None]], Coroutine[Any, Any, Terminal | None]]


@dataclass
class Running:
    """The one attempt at work, as a task of the event loop."""

    attempt: int
    doing: asyncio.Task[Terminal | None]


class Daemon:
    """One agent at work. `run` returns the process's exit code."""

    def __init__(self, config: Config, root: Path, *, work: Perform = perform, level: Level | None = None) -> None:
        self._config = config
        self._root = root
        self._perform = work
        self._policy = Policy(sandbox=config.sandbox, read_only=tuple(config.toolchains), hidden=(root,))
        self._level = level or detect(self._policy)
        commands = minds.usable(config.commands, self._policy)
        found = Minds(config.models, borrows=config.hub_endpoints)
        self._walls = minds.in_words(self._level, commands)
        self._bench = Bench(
            root=root,
            hub=config.hub,
            token=config.token,
            policy=self._policy,
            bounds=config.limits,
            executors=minds.equip(found, commands),
        )
        trials = TrialBook(root) if config.hub_endpoints else None
        self._offering = Offering(found, [minds.command_offer(one) for one in commands], trials)
        self._restarts = Restarts(config.restarts)
        self._running: Running | None = None
        self._leaving = asyncio.Event()
        self._restarting = False
        self._hurry = asyncio.Event()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._group = asyncio.TaskGroup()

    async def run(self) -> int:
        """Work until a signal says to leave: 0 when everything was handed back in order, 1 otherwise.

        RESTART when the hub wanted it and everything was handed back in order.
        Raises RootTaken when another sidecar runs on this root, and an ExceptionGroup when a part failed.
        """
        lock = RootLock(self._root)
        try:
            send(waiting_for_nobody(self._root), signal.SIGKILL)  # we alone have this root: no work of ours runs yet
            self._journal = Journal(self._root)
            self._book = CallBook(self._root)
            self._bench = replace(self._bench, book=self._book)
            self._session = Session(
                self._hello(),
                margin=self._config.limits.fence_margin_seconds,
                refusal=self._refusal,
                undelivered=self._recover(self._journal.load()),
            )
            self._link = Link(
                self._config.socket_address,
                self._config.token,
                opened=lambda: self._do(self._session.opened(clock())),
                heard=self._heard,
                closed=lambda _: self._do(self._session.closed()),
                hurry=lambda: bool(self._session.attempts or self._session.undelivered),
            )
            self._enter(Mode.NORMAL)
            self._listen_to_signals()
            logger.info("sidecar starts", agent=self._config.name, hub=self._config.hub, sandbox=self._level.name)
            if self._level.name != "bubblewrap":
                logger.warning("commands are not confined", sandbox=self._level.name, reason=self._level.reason)
            return await self._live()
        finally:
            lock.release()

    def leave(self) -> None:
        """Finish what runs within the grace and go for good; asked twice, stop it at once."""
        if self._leaving.is_set() and not self._restarting:
            self._hurry.set()
        self._restarting = False
        self._leaving.set()

    # --- living ---------------------------------------------------------------------------------------------------

    async def _live(self) -> int:
        async with self._group as group:
            background = [
                group.create_task(self._link.run(), name="link"),
                group.create_task(self._tick(), name="clock"),
                group.create_task(self._offering.watch(self._offered), name="models"),
                group.create_task(self._measure(), name="load"),
                group.create_task(self._restarts.live(self._restarted), name="restarts"),
            ]
            salvaging = group.create_task(self._salvage(), name="salvage")
            await self._leaving.wait()
            code = await self._depart(salvaging)
            for part in background:
                part.cancel()
        return RESTART if self._restarting and code == 0 else code

    async def _tick(self) -> None:
        while True:
            self._do(self._session.tick(clock()))
            self._tell_calls()
            await asyncio.sleep(TICK_SECONDS)

    def _offered(self, models: list[ModelOffer], endpoints: list[EndpointState]) -> None:
        self._do(self._session.offered(models, endpoints))

    def _restarted(self, frame: EndpointRestarted) -> None:
        """Lost when nobody listens: the hub asks again, and hears the same."""
        self._offering.look_soon()
        if self._session.welcomed:
            self._link.send(frame)

    async def _measure(self) -> None:
        """How busy this machine is, over and over: the hub chooses between machines by it."""
        meter = Meter(self._root)
        await asyncio.sleep(FIRST_LOAD_SECONDS)
        while True:
            try:
                load = await meter.read()
            except Exception:  # an odd machine does its work all the same
                logger.exception("the machine cannot be measured")
            else:
                self._do(self._session.measured(load))
            await asyncio.sleep(LOAD_SECONDS)

    def _tell_calls(self) -> None:
        """Calls of models that the hub does not have in its ledger yet."""
        if self._session.welcomed:
            for frame in self._book.due(clock()):
                self._link.send(frame)

    async def _salvage(self) -> None:
        """Bring to the hub what ended attempts left in their trees, whenever the hub can be reached."""
        while True:
            if self._session.welcomed:
                await salvage_kept(self._bench, busy=self._session.attempts)
            self._ended.clear()
            with suppress(TimeoutError):  # nothing ended meanwhile: look again all the same
                await asyncio.wait_for(self._ended.wait(), SALVAGE_SECONDS if self._session.welcomed else 1)

    async def _depart(self, salvaging: asyncio.Task[None]) -> int:
        running = self._running.attempt if self._running else None
        logger.info("leaving", running=running, restart=self._restarting)
        self._do(self._session.drain(clock()))
        await self._until(lambda: self._session.resting, self._config.limits.drain_seconds)
        self._do(self._session.hand_back())
        await self._until(lambda: self._session.resting, STOP_SECONDS)
        salvaging.cancel()
        if self._running is not None:
            self._running.doing.cancel()
            return 1
        await self._until(self._all_told, DELIVERY_SECONDS)
        if self._session.welcomed and not self._hurry.is_set():
            with suppress(TimeoutError):  # what could not be brought home stays here for the next start
                await asyncio.wait({salvaging})
                await asyncio.wait_for(salvage_kept(self._bench), self._config.limits.salvage_seconds)
        await self._link.hangup()
        logger.info("left", undelivered=len(self._session.undelivered))
        return 0

    def _all_told(self) -> bool:
        """Nothing is owed to the hub, or it cannot be told now."""
        return not (self._session.undelivered or self._book.owes) or not self._session.welcomed

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until it holds, or the time is over, or a second signal says to hurry."""
        hurry = asyncio.create_task(self._hurry.wait())
        with suppress(TimeoutError):  # the caller looks for itself
            async with asyncio.timeout(seconds):
                while not holds() and not hurry.done():
                    self._changed.clear()
                    changed = asyncio.create_task(self._changed.wait())
                    await asyncio.wait({hurry, changed}, return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
        hurry.cancel()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.leave)

    # --- carrying out ---------------------------------------------------------------------------------------------

    def _heard(self, frame: Frame) -> None:
        kind = getattr(frame, "type", "")
        if kind == "error":
            logger.warning("the hub objects", frame=frame.model_dump())
        else:
            logger.debug("heard", type=kind)
        if isinstance(frame, EndpointsKnown):
            self._offering.know(frame.endpoints)
        if isinstance(frame, EndpointRestart):
            self._restarts.ask(frame)
        if isinstance(frame, CallsSettled):
            self._book.settled(frame.attempt, frame.calls)
        self._do(self._session.receive(frame, clock()))

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Keep):
                try:
                    self._journal.keep(effect.assign)
                except OSError as problem:  # a full disk: what follows in this list must not happen
                    logger.exception("cannot keep an assignment", attempt=effect.assign.attempt)
                    self._do(self._session.unkept(effect.assign, f"The journal cannot be written: {problem}", clock()))
                    break
            else:
                self._do_one(effect)
        self._changed.set()

    def _do_one(self, effect: Send | KeepReport | Forget | Start | Stop | Hangup | Enter | Restart) -> None:
        match effect:
            case Send():
                self._link.send(effect.frame)
            case KeepReport():
                self._keep_report(effect.report)
            case Forget():
                self._journal.forget(effect.attempt)
            case Start():
                self._start(effect.assign)
            case Stop():
                logger.info("stopping work", attempt=effect.attempt, why=effect.why.value)
                if self._running is not None and self._running.attempt == effect.attempt:
                    self._running.doing.cancel()
            case Hangup():
                self._group.create_task(self._link.hangup())
            case Enter():
                logger.info("the hub wants another mode", mode=effect.mode.value)
                self._enter(effect.mode)
            case Restart():
                self._restarting = not self._leaving.is_set()  # a signal that came first is for good
                self._leaving.set()
            case _:
                assert_never(effect)

    def _enter(self, wanted: Mode) -> None:
        try:
            mode.write(self._root, wanted)
        except OSError:  # it is only for people to see
            logger.warning("cannot show the mode", mode=wanted.value, exc_info=True)

    def _keep_report(self, report: Terminal) -> None:
        try:
            self._journal.report(report)
        except OSError:  # it is still in memory, and the hub can take it from there
            logger.exception("cannot keep a report", attempt=report.attempt)

    # --- work -----------------------------------------------------------------------------------------------------

    def _start(self, assign: TaskAssign) -> None:
        logger.info("work begins", task=assign.task, attempt=assign.attempt, executor=assign.executor)
        self._journal.started(assign)
        doing = asyncio.create_task(
            self._perform(assign, self._bench, lambda steps: self._do(self._session.progressed(assign.attempt, steps)))
        )
        self._running = Running(assign.attempt, doing)
        self._group.create_task(self._work(assign, doing), name=f"attempt-{assign.attempt}")

    async def _work(self, assign: TaskAssign, doing: asyncio.Task[Terminal | None]) -> None:
        """See one attempt to its end; a stop cancels `doing`, never this."""
        await asyncio.wait({doing})
        report = None if doing.cancelled() else doing.result()
        logger.info("work ends", task=assign.task, attempt=assign.attempt, report=report.type if report else None)
        self._running = None
        self._ended.set()
        if isinstance(report, TaskFailed) and report.result.blame == "infrastructure":
            self._offering.suspect(assign.executor, assign.url)
        self._tell_calls()  # before the report, so that what is left of its allowance goes back exactly
        self._do(self._session.finished(assign.attempt, fit(report) if report else None, clock()))

    # --- what this machine is -------------------------------------------------------------------------------------

    def _hello(self) -> Hello:
        enforced = list(self._level.enforced)[:20]
        return Hello(
            version=VERSION,
            software=f"agentcom-sidecar {__version__}",
            process=uuid.uuid4().hex,
            executors=sorted({*EXECUTORS, *(one.executor for one in self._offering.now()), VERIFY}),
            capabilities=self._config.capabilities,
            models=self._offering.now(),
            endpoints=self._offering.states(),
            sandbox=Sandbox(level=self._level.name, detail=self._walls[:500], enforced=enforced),
            host=host(),
            restarts=self._restarts.addresses,
        )

    def _refusal(self, assign: TaskAssign) -> Error | None:
        if self._level.name == "none":
            return Error(code="sandbox_missing", message=f"{self._level.reason} {self._level.hint}".strip())
        if assign.executor not in {*self._bench.executors, VERIFY}:
            return Error(code="executor_missing", message=f"This sidecar has no executor {assign.executor}.")
        return None

    def _recover(self, entries: list[Entry]) -> list[Terminal]:
        """What an earlier process left: its reports as they are, and its unfinished work handed back.

        The trees of that work stay where they are; the salvage loop brings home what is in them.
        """
        reports: list[Terminal] = []
        for entry in entries:
            if entry.report is None:
                lost = Error(code="sidecar_restarted", message="The sidecar ended in the middle of the work.")
                if entry.assign is not None:
                    forget_remains(self._root, entry.assign)
                report: Terminal = TaskReleased(task=entry.task, attempt=entry.attempt, error=lost)
                self._journal.report(report)
                logger.warning("work was lost in a restart", task=entry.task, attempt=entry.attempt)
            else:
                report = entry.report
            reports.append(report)
        return reports
