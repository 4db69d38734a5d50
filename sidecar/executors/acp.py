"""The task is words, and the agent CLI speaks the Agent Client Protocol: one way of talking for every such program.

It is started as any other command is, in the same tree and behind the same walls. Its standard input and output are
the conversation; what it prints as errors is its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sidecar.acp.client import Client
from sidecar.acp.session import Ending, Session
from sidecar.executors.base import Execution, Progress, StepKind
from sidecar.executors.command import TAIL_CHARACTERS, Run, how, last_lines
from sidecar.executors.secrets import Output, Secrets
from sidecar.sandbox import Limits, Outcome

CANCEL_SECONDS = 3.0
CANCEL_SHARE = 0.2
"""So long before its time is over an agent is told to stop; at most this share of its time."""
LEAVE_SECONDS = 2.0
"""So long it may take to leave when all is said."""
STEPS_AT_ONCE = 100
STEPS_A_SECOND = 10.0
_TITLE_CHARACTERS = 500
_ARGUMENT_CHARACTERS = 2_000
_KIND_CHARACTERS = 64
_LOG_BYTES = 5_000


class Talking(Run):
    """One run of an agent that speaks ACP; its stop reason says how it went, and no longer its exit code."""

    async def _work(self, files: Mapping[str, bytes]) -> Execution:
        paced = Paced(self._progress)
        watching = _Watching(self._command.name, self._secrets, self._sandbox.limits, paced)
        limits = replace(self._sandbox.limits, output_head=_LOG_BYTES, output_tail=_LOG_BYTES)
        log = Output(self._secrets, limits, paced)
        session = Session(
            prompt=self._prompt(),
            tree=self._tree.resolve(),
            client=Client(self._tree, self._command.permissions),
            listener=watching,
            start_seconds=self._command.start_seconds,
            turn_seconds=self._seconds - min(CANCEL_SECONDS, self._seconds * CANCEL_SHARE),
        )
        outcome = await self._converse(files, session, log)
        said, logged = watching.close(), log.close()
        paced.close()
        self._progress("note", f"{self._command.name} {how(outcome)}.")
        return self._told(outcome, self._unfinished(outcome, session.ending), said, logged)

    async def _converse(self, files: Mapping[str, bytes], session: Session, log: Output) -> Outcome:
        stop = asyncio.Event()

        async def talk(pipe: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):  # it closed its ears: perhaps it is just leaving
                await session.converse(pipe)
            pipe.close()
            if session.ending is None or session.ending.code != "acp_protocol":
                await asyncio.sleep(LEAVE_SECONDS)
            stop.set()

        return await self._start(files, output=session.hear, errors=log.feed, talk=talk, stop=stop)

    def _unfinished(self, outcome: Outcome, ending: Ending | None) -> Ending:
        """How it ended when that is not for the agent to say; else as it said."""
        if outcome.problem:
            return Ending(code=outcome.ended, message=outcome.problem, stop_reason=outcome.ended)
        if ending is not None:
            return ending
        if outcome.ended == "timeout":
            return Ending(code="deadline", stop_reason=outcome.ended, partial=True, blame="capability")
        message = f"ended with exit code {outcome.exit_code} before its turn was over"
        return Ending(code="command_failed", message=message, stop_reason=outcome.ended, partial=True)

    def _told(self, outcome: Outcome, ending: Ending, said: str, logged: str) -> Execution:
        name, last = self._command.name, last_lines(said)
        message = ending.message
        if ending.code == "deadline":
            message = f"did not end within {self._seconds:g} seconds"
        quoted = shown(self._secrets, message)[:TAIL_CHARACTERS].rstrip(". \n")
        heard = (last_lines(logged) or last)[-TAIL_CHARACTERS:]
        quoted = f"{name} {quoted}." + (f" It said last:\n{heard}" if heard else "")
        return Execution(
            code=ending.code,
            message=quoted if ending.code else "",
            summary=last or "It said nothing.",
            output="\n".join(filter(None, [said, logged])),
            exit_code=outcome.exit_code,
            stop_reason=ending.stop_reason,
            duration_ms=outcome.duration_ms,
            model=name,
            partial=ending.partial,
            blame=ending.blame,
        )


def shown(secrets: Secrets, text: str) -> str:
    """Text of an agent's without its secrets. To be cut afterwards, not before: half a secret is not known for one."""
    return secrets.masked(text.encode("utf-8", "replace"))[0].decode("utf-8", "replace")


class _Watching:
    """A turn as live steps: messages line by line, and every use of a tool."""

    def __init__(self, name: str, secrets: Secrets, limits: Limits, progress: Progress) -> None:
        self._name = name
        self._secrets = secrets
        self._progress = progress
        self._words = Output(secrets, limits, _as_notes(progress))
        self._within_a_line = False

    def awake(self) -> None:
        self._progress("note", f"{self._name} is awake.")

    def said(self, text: str) -> None:
        if text:
            self._words.feed(text.encode("utf-8", "replace"))
            self._within_a_line = not text.endswith("\n")

    def used(self, title: str, kind: str, arguments: Any) -> None:
        self._end_the_line()
        self._progress(
            "tool",
            self._shown(title)[:_TITLE_CHARACTERS],
            tool=self._shown(kind)[:_KIND_CHARACTERS],
            arguments=self._shown(_json(arguments))[:_ARGUMENT_CHARACTERS],
        )

    def noted(self, text: str) -> None:
        self._end_the_line()
        self._progress("note", self._shown(text)[:_TITLE_CHARACTERS])

    def close(self) -> str:
        """All that it said and was kept."""
        return self._words.close()

    def _end_the_line(self) -> None:
        if self._within_a_line:
            self.said("\n")

    def _shown(self, text: str) -> str:
        return shown(self._secrets, text)


def _as_notes(progress: Progress) -> Progress:
    def told(kind: StepKind, text: str, **facts: Any) -> None:
        progress("note" if kind == "output" else kind, text, **facts)

    return told


def _json(value: Any) -> str:
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return ""


class Paced:
    """Progress for one who may tell too much: a burst, then so many steps a second. How many were left out is told."""

    def __init__(self, progress: Progress, now: Callable[[], float] = time.monotonic) -> None:
        self._progress = progress
        self._now = now
        self._room = float(STEPS_AT_ONCE)
        self._since = now()
        self._left_out = 0

    def __call__(self, kind: StepKind, text: str, **facts: Any) -> None:
        now = self._now()
        self._room = min(STEPS_AT_ONCE, self._room + (now - self._since) * STEPS_A_SECOND)
        self._since = now
        if self._room < 1:
            self._left_out += 1
            return
        self._room -= 1
        self.close()
        self._progress(kind, text, **facts)

    def close(self) -> None:
        """Tell how many steps were left out since the last one."""
        if self._left_out:
            self._progress("note", f"{self._left_out} steps were left out.")
            self._left_out = 0
