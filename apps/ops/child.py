"""One supervised program: what to start, how it is told to stop, and what runs of it look like."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# The program starts only after a line on its standard input. When the supervisor dies between starting it and having
# its group remembered (last_will.py), the line never comes and the shell ends.
GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "gate")
KEPT_LINES = 20
LONGEST_LINE = 8_192


class Watch(Protocol):
    """Says whether a program that runs also works (pulse.py for a cluster)."""

    def started(self) -> None:
        """The program was started just now."""

    async def is_stuck(self) -> bool:
        """Whether it should be killed and started again; called about once a second."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program to keep running. Higher `stage` starts later and stops earlier."""

    name: str
    command: Sequence[str]
    stage: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    quiet: bool = False
    """Its output is shown only when it ends unasked."""
    restart: bool = True
    """False: its end is final, as for a sidecar that a demonstration kills on purpose."""
    ready: Callable[[], Awaitable[bool]] | None = None
    """Asked until it says yes, before the next stage starts."""
    watch: Watch | None = None


class Run:
    """One life of a child: a process group of its own, its output read line by line."""

    def __init__(
        self,
        child: Child,
        process: asyncio.subprocess.Process,
        said: asyncio.StreamReader,
        output: Callable[[str, str], None],
    ) -> None:
        """Takes over a process that waits at the gate, and the reading end of what it says."""
        self.child = child
        self.process = process
        self.pid = process.pid
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._said = said
        self._output = output
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(self._was_read)

    @classmethod
    async def start(cls, child: Child, output: Callable[[str, str], None]) -> Run:
        """Start the gate; `go()` lets the program itself begin. Raises OSError."""
        # A pipe of our own: asyncio's would make wait() wait for every process that holds its other end.
        reading, writing = os.pipe()
        said = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(said)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(reading, "rb"))
        try:
            process = await asyncio.create_subprocess_exec(
                *GATE,
                *child.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=writing,
                stderr=writing,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **child.env},
                cwd=child.cwd,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        return cls(child, process, said, output)

    def go(self) -> None:
        """Open the gate."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it died at the gate; wait() tells
            self.process.stdin.write(b"go\n")
            self.process.stdin.close()

    async def wait(self) -> int:
        """The exit status, once the program has ended and everything left of its group is killed."""
        status = await self.process.wait()
        self.kill()
        with contextlib.suppress(TimeoutError):  # a stranger holds the pipe; what it says no longer matters
            await asyncio.wait_for(self._reader, 1)
        return status

    def terminate(self) -> None:
        """Ask the program to stop. Only its main process: a cluster's parts must be stopped by their own head."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self) -> None:
        """End the whole group now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing of it is left
            os.killpg(self.pid, signal.SIGKILL)

    async def _read(self) -> None:
        rest = b""
        while chunk := await self._said.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._say(line)
            if len(rest) > LONGEST_LINE:
                self._say(rest)
                rest = b""
        if rest:
            self._say(rest)

    def _was_read(self, reader: asyncio.Task[None]) -> None:
        """A program whose output nobody takes would hang at its next line: end it; `wait()` raises the cause."""
        if not reader.cancelled() and reader.exception():
            self.kill()

    def _say(self, line: bytes) -> None:
        text = line[:LONGEST_LINE].decode(errors="replace").rstrip("\r")
        self.last_lines.append(text)
        if not self.child.quiet:
            self._output(self.child.name, text)
