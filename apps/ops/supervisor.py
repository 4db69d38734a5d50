"""Starts the hub's processes, keeps them running, and ends them all together.

Every child runs in a session of its own, so a Ctrl-C reaches only the supervisor, which then stops the children in
order. When the supervisor is killed outright, `last_will.py` kills what it leaves behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from apps.ops.child import Child, Run

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STEADY_SECONDS = 30.0
"""A child that ran for so long has recovered: its next restart is quick again."""
STOP_SECONDS = 8.0
READY_SECONDS = 60.0
LAST_WILL = Path(__file__).with_name("last_will.py")


class NotReady(Exception):
    """A child did not come up at the start; the message holds the end of its output."""


class Supervisor:
    """Runs children until asked to stop; `run()` once per instance, everything else from its event loop."""

    def __init__(
        self,
        children: Iterable[Child],
        *,
        output: Callable[[str, str], None],
        on_ready: Callable[[], None] | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        """`output` gets (name, line); `on_ready` is called once, when all stages are up."""
        self._children = list(children)
        self._output = output
        self._on_ready = on_ready
        self._stop_seconds = stop_seconds
        self._stop = asyncio.Event()
        self._runs: dict[str, Run] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._ups: dict[str, asyncio.Event] = {}
        self._will: asyncio.subprocess.Process | None = None
        self._will_keeper: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Start stage by stage, keep everything up until `request_stop()` or a signal, then stop.

        Raises NotReady when a child with a `ready` question does not come up in time.
        """
        loop = asyncio.get_running_loop()
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup says: go on without a terminal
            signals.append(signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self._signalled)
        try:
            await self._write_will()
            self._will_keeper = asyncio.create_task(self._keep_will())
            await self._start_all()
            if self._on_ready and not self._stop.is_set():
                self._on_ready()
            await self._stop.wait()
        finally:
            await self._stop_all()
            for number in signals:
                loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Begin the orderly stop; `run()` returns when it is done."""
        self._stop.set()

    async def stop_requested(self) -> None:
        """Wait until somebody, or a signal, has asked for the stop."""
        await self._stop.wait()

    async def add(self, child: Child) -> None:
        """Start one more child now, and wait until it is up. Raises NotReady."""
        self._children.append(child)
        await self._start(child)

    def pid(self, name: str) -> int | None:
        """The process (and group) that runs as `name` now; None between two runs."""
        run = self._runs.get(name)
        return run.pid if run else None

    def kill(self, name: str) -> None:
        """SIGKILL the group of `name`; what follows is what follows after any sudden death."""
        if run := self._runs.get(name):
            run.kill()

    def _signalled(self) -> None:
        if self._stop.is_set():  # asked twice: now
            for run in self._runs.values():
                run.kill()
            return
        self._output("supervisor", "stops everything; Ctrl-C again kills it at once")
        self._stop.set()

    async def _start_all(self) -> None:
        for stage in sorted({child.stage for child in self._children}):
            if self._stop.is_set():
                return
            await asyncio.gather(*(self._start(child) for child in list(self._children) if child.stage == stage))

    async def _start(self, child: Child) -> None:
        up = self._ups[child.name] = asyncio.Event()
        keeper = self._keepers[child.name] = asyncio.create_task(self._keep(child))
        keeper.add_done_callback(self._kept)
        stopping = asyncio.create_task(self._stop.wait())
        waiting = asyncio.create_task(up.wait())
        try:
            done, _ = await asyncio.wait(
                {waiting, stopping, keeper},
                timeout=READY_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waiting.cancel()
            stopping.cancel()
        if not done:
            run = self._runs.get(child.name)
            raise NotReady(
                f"{child.name} did not come up in {READY_SECONDS:.0f} s.\n" + "\n".join(run.last_lines if run else [])
            )

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        """A keeper that fails has met a fault of ours: stop, and let `run()` raise it."""
        if not keeper.cancelled() and keeper.exception():
            self.request_stop()

    async def _keep(self, child: Child) -> None:
        delay = FIRST_DELAY
        while not self._stop.is_set():
            began = time.monotonic()
            status = await self._live(child)
            if self._stop.is_set():
                return
            if not child.restart:
                self._output(child.name, f"ended ({describe(status)})")
                return
            delay = FIRST_DELAY if time.monotonic() - began > STEADY_SECONDS else delay
            self._output(child.name, f"ended ({describe(status)}); starts again in {delay:g} s")
            with contextlib.suppress(TimeoutError):  # the pause is over
                await asyncio.wait_for(self._stop.wait(), delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _live(self, child: Child) -> int:
        """One life from start to end; the exit status."""
        run = await Run.start(child, self._output)
        self._runs[child.name] = run
        self._remember("+", run.pid)
        run.go()
        minder = asyncio.create_task(self._mind(run))
        try:
            return await run.wait()
        finally:
            minder.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # the cancel of the line above
                await minder
            self._remember("-", run.pid)
            if child.quiet and not self._stop.is_set():
                for line in run.last_lines:
                    self._output(child.name, line)
            if self._runs.get(child.name) is run:
                del self._runs[child.name]

    async def _mind(self, run: Run) -> None:
        """Say when it is up, then kill it when its watch finds it stuck."""
        child = run.child
        while child.ready and not await child.ready():  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.1)  # another process is asked; nothing here could set an event
        self._ups[child.name].set()
        if not child.watch:
            return
        child.watch.started()
        while True:
            await asyncio.sleep(1)
            if await child.watch.is_stuck():
                self._output(child.name, "runs but does nothing any more; killed")
                run.kill()
                return

    async def _stop_all(self) -> None:
        """Highest stage first; who does not end within the common grace is killed."""
        self._stop.set()
        deadline = time.monotonic() + self._stop_seconds
        for stage in sorted({child.stage for child in self._children}, reverse=True):
            names = [child.name for child in self._children if child.stage == stage and child.name in self._keepers]
            for name in names:
                if run := self._runs.get(name):
                    run.terminate()
            keepers = [self._keepers[name] for name in names]
            if not keepers:
                continue
            _, late = await asyncio.wait(keepers, timeout=max(0.1, deadline - time.monotonic()))
            for name in names:
                if self._keepers[name] in late and (run := self._runs.get(name)):
                    run.kill()
            await asyncio.wait(keepers)
        await self._end_will()
        for keeper in self._keepers.values():
            keeper.result()

    async def _write_will(self) -> None:
        self._will = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(LAST_WILL), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )
        for run in self._runs.values():
            self._remember("+", run.pid)

    async def _keep_will(self) -> None:
        while self._will:
            await self._will.wait()
            await self._write_will()

    def _remember(self, change: str, group: int) -> None:
        if self._will and self._will.stdin:
            with contextlib.suppress(OSError):  # it was killed; the next one gets the whole list
                self._will.stdin.write(f"{change}{group}\n".encode())

    async def _end_will(self) -> None:
        if self._will_keeper:
            self._will_keeper.cancel()
        will, self._will = self._will, None
        if will and will.stdin:
            will.stdin.close()
            await will.wait()


def describe(status: int) -> str:
    """An exit status in words: `exit status 1`, `SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
