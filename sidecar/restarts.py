"""Endpoints that this machine's operator has a command to restart: run when the hub asks, one at a time.

The hub names an address and nothing else. What is run for it stands in config.json, and is never said to anybody.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO

import structlog

from sidecar.wire.messages import EndpointRestart, EndpointRestarted

logger = structlog.get_logger(__name__)

LONGEST_SECONDS = 60.0
BETWEEN_SECONDS = 60.0
"""Not more than one in this time for one endpoint, whoever asks and however often."""
REMEMBERED = 100
TAIL = 4_000
"""Characters of what the command printed, and of a message."""


class Restarts:
    """`commands` by address. The hub may ask the same again when it missed the answer: that runs nothing again."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        longest: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = {url: tuple(argv) for url, argv in commands.items()}
        self._longest = longest
        self._clock = clock
        self._began: dict[str, float] = {}
        self._answers: dict[int, EndpointRestarted | None] = {}
        self._asked: asyncio.Queue[EndpointRestart] = asyncio.Queue()

    @property
    def addresses(self) -> list[str]:
        """Of which endpoints there is a command."""
        return sorted(self._commands)

    def ask(self, frame: EndpointRestart) -> None:
        """The hub wants it; `live` does it."""
        if frame.restart in self._answers and self._answers[frame.restart] is None:
            return  # it is at it, or about to be
        self._answers.setdefault(frame.restart, None)
        self._asked.put_nowait(frame)

    async def live(self, tell: Callable[[EndpointRestarted], None]) -> None:
        """Do what is asked for, one after the other, for ever, and `tell` what came of each."""
        while True:
            frame = await self._asked.get()
            answer = self._answers.get(frame.restart) or await self._answer(frame)
            self._answers[frame.restart] = answer
            while len(self._answers) > REMEMBERED:
                del self._answers[next(iter(self._answers))]
            tell(answer)

    async def _answer(self, frame: EndpointRestart) -> EndpointRestarted:
        log = logger.bind(url=frame.url, restart=frame.restart)
        began = self._clock()
        argv = self._commands.get(frame.url)
        if argv is None:
            return _said(frame, "This machine has no command to restart it.")
        if (last := self._began.get(frame.url)) is not None and began - last < BETWEEN_SECONDS:
            return _said(frame, f"It was restarted {began - last:.0f} s ago, and may be again a minute after that.")
        self._began[frame.url] = began
        log.info("an endpoint is being restarted", program=argv[0])
        try:
            code, printed = await _run(argv, self._longest)
        except Exception as problem:  # no such program, a full disk: it must not be the daemon's end
            log.warning("an endpoint could not be restarted", exc_info=True)
            return _said(frame, f"The command could not be run: {problem}")
        seconds = max(self._clock() - began, 0.0)
        log.info("an endpoint was restarted" if code == 0 else "an endpoint was not restarted", code=code)
        if code is None:
            return _said(frame, f"{printed}\nThe command did not end within {self._longest:.0f} s.", seconds=seconds)
        words = printed if code == 0 else f"{printed}\nThe command ended with {code}."
        return _said(frame, words, ok=code == 0, seconds=seconds)


async def _run(argv: Sequence[str], longest: float) -> tuple[int | None, str]:
    """Its exit code, None when it had to be killed, and the end of what it printed."""
    # A file and no pipe: a server that the command leaves running inherits it, so a pipe would never come to its end,
    # and closing it would kill the server at its next word.
    with tempfile.TemporaryFile() as printed:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=printed,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
        try:
            await asyncio.wait_for(process.wait(), longest)
        except TimeoutError:
            with suppress(ProcessLookupError):  # it has ended in this moment
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            return None, _tail(printed)
        return process.returncode, _tail(printed)


def _tail(printed: IO[bytes]) -> str:
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(0, size - TAIL))
    return printed.read(TAIL).decode("utf-8", "replace").strip()


def _said(frame: EndpointRestart, message: str, *, ok: bool = False, seconds: float = 0.0) -> EndpointRestarted:
    message = message.strip()[-TAIL:]
    return EndpointRestarted(
        id=f"restarted-{frame.restart}", restart=frame.restart, ok=ok, message=message, seconds=min(seconds, 3_600.0)
    )
