"""The one function that runs a command which a task, a model or a repository can influence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.sandbox import cgroup, detect, launch
from sidecar.sandbox.capture import HeadTail
from sidecar.sandbox.disk import Exceeded, Usage
from sidecar.sandbox.launch import Launch, Request
from sidecar.sandbox.policy import Ended, Limits, Outcome, Policy
from sidecar.sandbox.processes import descendants, marked, send

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LOADER = ("LD_", "GLIBC_", "MALLOC_", "GCONV_")  # these would steer the programs that set the sandbox's limits up
_NICENESS = 5  # so that a build cannot starve the sidecar's heartbeat
_CHUNK = 65_536
_LAST_WORD_SECONDS = 1.0  # after SIGKILL, or for output still in the pipe
_FAREWELL_SECONDS = 0.25  # for whoever writes the input to say goodbye, before SIGTERM


async def run(
    command: Sequence[str] | str,
    *,
    tree: Path,
    limits: Limits | None = None,
    policy: Policy | None = None,
    env: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    output: Callable[[bytes], None] | None = None,
    stop: asyncio.Event | None = None,
    talk: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None,
    errors: Callable[[bytes], None] | None = None,
    usage: Usage | None = None,
) -> Outcome:
    """Run `command` (a string goes to `/bin/sh -c`) in `tree`, the only thing on this machine that it may change.

    It sees no environment but a fixed few variables and `env`, and no file of ours but the `files`: contents by the
    name of the variable that will hold the path. `output` gets what it prints as it comes; with `errors`, that gets
    what it prints as errors, which are then no part of the output. Its input is empty, or what `talk` writes: called
    once beside it, cancelled with a moment for a last word before the command is asked to end, its pipe closed when it
    returns. Setting `stop`, passing the deadline or cancelling this coroutine asks it to end and, after the grace, ends
    it; whichever way it goes, no process of it is left when this returns. `usage` is what is known of the tree from
    earlier commands: one that makes it larger than the limits, or fills the disk, is ended at once. Raises Unavailable
    when the policy's sandbox does not work here, and ValueError for a command or variable that could not mean what it
    says.
    """
    request = Request(
        command=["/bin/sh", "-c", command] if isinstance(command, str) else list(command),
        tree=tree.resolve(strict=True),
        limits=limits or Limits(),
        policy=policy or Policy(),
        env=env or {},
        files=files or {},
    )
    usage = usage or Usage()
    _refuse_nonsense(request)
    usage.before(request.tree, request.limits)
    if usage.exceeded:
        return _not_started(usage.exceeded, request.policy)
    with ExitStack() as running:
        group = running.enter_context(cgroup.group(request.limits))
        with ExitStack() as starting:
            ready = _prepare(request, group, starting, running)
            began = time.monotonic()
            process = await _start(ready, stdin=PIPE if talk else DEVNULL, stderr=PIPE if errors else STDOUT)
        kept = HeadTail(request.limits.output_head, request.limits.output_tail)
        pipes = _Pipes(
            process=process,
            reading=asyncio.create_task(_read(process, kept, output, errors)),
            writing=asyncio.create_task(_write(process, talk)) if talk else None,
        )
        filling = asyncio.create_task(usage.watch(request.tree, request.limits))
        ended = await _see_through(process, ready, pipes, limits=request.limits, stop=stop, filling=filling)
        await usage.after(request.tree, request.limits)
        return Outcome(
            exit_code=_as_a_shell_says(process.returncode),
            ended=usage.exceeded.code if usage.exceeded else ended,
            output=kept.text(),
            elided=kept.elided,
            duration_ms=round((time.monotonic() - began) * 1000),
            level=ready.level,
            enforced=ready.enforced,
            problem=usage.exceeded.message if usage.exceeded else "",
        )


def _not_started(exceeded: Exceeded, policy: Policy) -> Outcome:
    level = detect.detect(policy)
    return Outcome(
        exit_code=_as_a_shell_says(None),
        ended=exceeded.code,
        output="",
        elided=0,
        duration_ms=0,
        level=level.name,
        enforced=level.enforced,
        problem=exceeded.message,
    )


def _refuse_nonsense(request: Request) -> None:
    if not request.command or not request.command[0]:
        raise ValueError("There is no command to run.")
    if any("\0" in text for text in (*request.command, *request.env.values())):
        raise ValueError("A command or variable holds a NUL character.")
    if not request.tree.is_dir() or len(request.tree.parts) < 3:
        raise ValueError(f"{request.tree} is no directory that a command could be given.")
    for name in (*request.env, *request.files):
        if not _NAME.match(name) or name.startswith(_LOADER):
            raise ValueError(f"The variable {name!r} cannot be given to a command.")


def _prepare(request: Request, group: cgroup.Group, starting: ExitStack, running: ExitStack) -> Launch:
    if request.policy.sandbox == "off":
        return launch.bare(request, group=group, running=running)
    return launch.confined(request, group=group, starting=starting, running=running)


async def _start(ready: Launch, *, stdin: int, stderr: int) -> Process:
    process = await asyncio.create_subprocess_exec(
        *ready.argv,
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        env=ready.environment,
        cwd=ready.directory,
        pass_fds=ready.descriptors,
        start_new_session=True,
    )
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
    return process


@dataclass(frozen=True, kw_only=True)
class _Pipes:
    """What goes on beside the command: its output is read, and perhaps its input written."""

    process: Process
    reading: asyncio.Task[None]
    writing: asyncio.Task[None] | None

    def failure(self) -> BaseException | None:
        """What one of them failed of."""
        for task in (self.reading, self.writing):
            if task is not None and task.done() and not task.cancelled() and (problem := task.exception()):
                return problem
        return None

    async def failed(self) -> None:
        """Ends when one of them failed, for then nobody empties the pipe; one that finished is no reason to stop."""
        going = {self.reading, *([self.writing] if self.writing else [])}
        while going and self.failure() is None:
            _, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
        if self.failure() is None:
            await asyncio.Event().wait()

    async def fall_silent(self) -> None:
        """No more input, but for a last word."""
        if self.writing is not None and not self.writing.done():
            self.writing.cancel()
            await asyncio.wait({self.writing}, timeout=_FAREWELL_SECONDS)

    async def close(self, exiting: asyncio.Task[int]) -> None:
        """Hear what is still in the pipe, then be done with both."""
        if self.writing is not None and self.process.stdin is not None:
            self.process.stdin.close()  # so that whoever writes sees that there is nobody to say goodbye to
            self.writing.cancel()
        tasks = {exiting, self.reading, *([self.writing] if self.writing else [])}
        await asyncio.wait(tasks, timeout=_LAST_WORD_SECONDS)
        for task in tasks:
            task.cancel()


async def _see_through(
    process: Process,
    ready: Launch,
    pipes: _Pipes,
    *,
    limits: Limits,
    stop: asyncio.Event | None,
    filling: asyncio.Task[Exceeded],
) -> Ended:
    """Wait for the end, or bring it about; in either case clear the whole family away.

    What fills the disk, so that `filling` ends, is not asked to end: it would go on until the grace is over.
    """
    exiting = asyncio.create_task(process.wait())
    try:
        ended = await _until_over(exiting, pipes, limits.timeout_seconds, stop, filling)
        if ended in {"timeout", "stopped"}:
            await pipes.fall_silent()
            await _ask_to_end(process, exiting, limits.grace_seconds)
    except asyncio.CancelledError:
        # A second cancellation cuts the grace short; what follows in `finally` does not wait for anybody.
        await pipes.fall_silent()
        await _ask_to_end(process, exiting, limits.grace_seconds)
        raise
    finally:
        filling.cancel()
        _end_now(process, ready)
        await pipes.close(exiting)
        _end_strays(ready)
    if problem := pipes.failure():
        raise problem
    return ended


async def _until_over(
    exiting: asyncio.Task[int],
    pipes: _Pipes,
    seconds: float,
    stop: asyncio.Event | None,
    filling: asyncio.Task[Exceeded],
) -> Ended:
    stopping = asyncio.create_task(stop.wait()) if stop else None
    broken = asyncio.create_task(pipes.failed())
    watched: set[asyncio.Task[Any]] = {exiting, broken, filling, *([stopping] if stopping else [])}
    try:
        done, _ = await asyncio.wait(watched, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        broken.cancel()
        if stopping:
            stopping.cancel()
    if exiting in done:
        return "exited"
    if filling in done:
        return filling.result().code
    return "stopped" if done else "timeout"


async def _read(
    process: Process,
    kept: HeadTail,
    output: Callable[[bytes], None] | None,
    errors: Callable[[bytes], None] | None,
) -> None:
    def take(chunk: bytes) -> None:
        kept.write(chunk)
        if output is not None:
            output(chunk)

    assert process.stdout is not None
    if process.stderr is None or errors is None:
        await _empty(process.stdout, take)
    else:
        await asyncio.gather(_empty(process.stdout, take), _empty(process.stderr, errors))


async def _empty(pipe: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    while chunk := await pipe.read(_CHUNK):
        take(chunk)


async def _write(process: Process, talk: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    assert process.stdin is not None
    try:
        await talk(process.stdin)
    except ConnectionError:
        return  # it does not listen any more, and its end is told otherwise
    finally:
        process.stdin.close()


async def _ask_to_end(process: Process, exiting: asyncio.Task[int], grace: float) -> None:
    if process.returncode is None:
        # bubblewrap itself would die of SIGTERM and take all with it at once: ask those inside.
        send(descendants(process.pid) or [process.pid], signal.SIGTERM)
        await asyncio.wait({exiting}, timeout=grace)


def _end_now(process: Process, ready: Launch) -> None:
    """SIGKILL for whoever is left. The first process of a sandbox takes all others of it along."""
    if process.returncode is None:
        family = descendants(process.pid)
        send([process.pid, *family], signal.SIGKILL)
    if ready.inside is not None and (first := _first_inside(ready.inside)):
        _see_dead(first)


def _first_inside(descriptor: int) -> int | None:
    with contextlib.suppress(BlockingIOError, ValueError):  # it ended before it could say, or said half
        return int(json.loads(os.read(descriptor, _CHUNK) or b"{}").get("child-pid", 0)) or None
    return None


def _see_dead(pid: int) -> None:
    """bubblewrap may return a moment before the kernel has ended its sandbox; that moment is waited for here."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return  # it has gone
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        waiting.poll(round(_LAST_WORD_SECONDS * 1000))
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _end_strays(ready: Launch) -> None:
    """Without walls a command can kill its supervisor; what it left is known by its environment."""
    if ready.marker:
        for _ in range(20):
            strays = marked(ready.marker)
            if not strays:
                return
            send(strays, signal.SIGKILL)
            time.sleep(0.005)


def _as_a_shell_says(code: int | None) -> int:
    if code is None:
        return 128 + signal.SIGKILL
    return code if code >= 0 else 128 - code
