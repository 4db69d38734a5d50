"""One turn of one agent: initialize, session/new, session/prompt, and whatever it asks and tells meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sidecar import __version__
from sidecar.acp.client import CAPABILITIES, PERMISSION, Client, Refusal
from sidecar.acp.protocol import Answer, Fault, Garbled, Notification, Params, Request, Wire
from sidecar.acp.updates import Listener, Updates
from sidecar.agent.faults import Blame

VERSION = 1
AUTH_REQUIRED = -32000
_SESSION_CHARACTERS = 1_000


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a turn ended: fields as in Execution; `message` goes on from the agent's name, in full and not yet masked."""

    code: str = ""
    message: str = ""
    stop_reason: str = ""
    partial: bool = False
    blame: Blame | Literal[""] = ""


_LIMIT = {"code": "out_of_steps", "message": "reached a limit of its own", "partial": True, "blame": "capability"}
_STOPS: Mapping[str, Mapping[str, Any]] = {
    "end_turn": {},
    "max_tokens": _LIMIT,
    "max_turn_requests": _LIMIT,
    "refusal": {"code": "declined", "message": "declined to do this", "partial": True, "blame": "capability"},
    "cancelled": {"code": "stopped", "message": "stopped by itself before it was done", "partial": True},
}


class Session:
    """A conversation about one task. `hear` gets what the agent prints, `converse` writes what it is told.

    The first answer has to come within `start_seconds`; after `turn_seconds` the turn is cancelled. `ending` is set
    when there is nothing more to say, by the last word or by the first that breaks the protocol.
    """

    def __init__(
        self,
        *,
        prompt: str,
        tree: Path,
        client: Client,
        listener: Listener,
        start_seconds: float,
        turn_seconds: float,
    ) -> None:
        self.ending: Ending | None = None
        self._prompt = prompt
        self._tree = tree
        self._client = client
        self._listener = listener
        self._updates = Updates(listener)
        self._start_seconds = start_seconds
        self._turn_seconds = turn_seconds
        self._wire = Wire()
        self._pipe: asyncio.StreamWriter | None = None
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._over = asyncio.Event()
        self._greeted = False
        self._begun = False
        self._steps: Mapping[str, Callable[[Any], None]] = {
            "initialize": self._initialized,
            "session/new": self._opened,
            "session/prompt": self._stopped,
        }

    def hear(self, chunk: bytes) -> None:
        """Take the next bytes that the agent prints; none are believed after the ending."""
        if self._over.is_set():
            return
        try:
            for message in self._wire.feed(chunk):
                self._take(message)
                if self._over.is_set():
                    return
        except Garbled as garbled:
            self._broke(str(garbled))

    async def converse(self, pipe: asyncio.StreamWriter) -> None:
        """Say what there is to say until the ending. When cancelled, cancel the turn, and wait for its end if let."""
        self._pipe = pipe
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(self._start_seconds, self._mute), loop.call_later(self._turn_seconds, self.cancel)]
        over = asyncio.create_task(self._over.wait())
        answering = asyncio.create_task(self._answer_requests())
        try:
            self._ask("initialize", _hello())
            await asyncio.wait({over, answering}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if self._begun and not pipe.is_closing():
                self.cancel()
                await asyncio.wait({over})  # until we are cancelled again
            raise
        finally:
            for timer in timers:
                timer.cancel()
            over.cancel()
            answering.cancel()
            await asyncio.wait({answering})
        if not answering.cancelled():
            answering.result()

    def cancel(self) -> None:
        """Tell the agent to stop, if it has begun; every question is answered accordingly from now on."""
        if self._begun and self.ending is None and not self._client.cancelled:
            self._client.cancelled = True
            self._send(self._wire.tell("session/cancel", {"sessionId": self._client.session}))

    def _take(self, message: Request | Notification | Answer) -> None:
        if isinstance(message, Request):
            self._requests.put_nowait(message)
        elif isinstance(message, Answer):
            self._answered(message)
        elif message.method == "session/update" and message.params.get("sessionId") == self._client.session:
            self._updates.take(message.params.get("update"))

    def _answered(self, answer: Answer) -> None:
        if answer.fault is not None:
            self._end(self._failed(answer.method, answer.fault))
        elif not isinstance(answer.result, dict):
            self._broke(f"answered {answer.method} with what is no object")
        else:
            self._steps[answer.method](answer.result)

    def _initialized(self, result: Params) -> None:
        version = result.get("protocolVersion")
        if type(version) is not int:
            self._broke("answered initialize without a protocolVersion")
        elif version != VERSION:
            message = f"speaks version {str(version)[:20]} of the protocol, and not {VERSION}"
            self._end(Ending(code="acp_protocol", message=message, blame="setup"))
        else:
            self._greeted = True
            self._listener.awake()
            self._ask("session/new", {"cwd": str(self._tree), "mcpServers": []})

    def _opened(self, result: Params) -> None:
        session = result.get("sessionId")
        if not isinstance(session, str) or not 0 < len(session) <= _SESSION_CHARACTERS:
            self._broke("answered session/new without a sessionId")
        else:
            self._client.session = session
            self._begun = True
            self._ask("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": self._prompt}]})

    def _stopped(self, result: Params) -> None:
        reason = result.get("stopReason")
        how = _STOPS.get(reason) if isinstance(reason, str) else None
        if how is None:
            self._broke(f"stopped for a reason that the protocol does not know: {reason}")
        elif reason == "cancelled" and self._client.cancelled:
            self._end(_late(str(reason)))
        else:
            self._end(Ending(stop_reason=str(reason), **how))

    def _failed(self, method: str, fault: Fault) -> Ending:
        if method == "session/prompt":
            if self._client.cancelled:  # what many a program makes of being cancelled
                return _late("error")
            return Ending(code="command_failed", message=f"failed: {fault.message}", stop_reason="error", partial=True)
        if fault.code == AUTH_REQUIRED:
            message = f"wants a login first, by a variable or in its home: {fault.message}"
        else:
            message = f"could not begin ({method}): {fault.message}"
        return Ending(code="command_failed", message=message, stop_reason="error", blame="setup")

    def _mute(self) -> None:
        if not self._greeted:
            message = f"did not answer within {self._start_seconds:g} seconds"
            self._end(Ending(code="command_failed", message=message, stop_reason="silent", blame="setup"))

    def _broke(self, how: str) -> None:
        message = f"broke the protocol: it {how}"
        self._end(Ending(code="acp_protocol", message=message, stop_reason="garbled", partial=True))

    def _end(self, ending: Ending) -> None:
        if self.ending is None:
            self.ending = ending
            self._over.set()

    def _ask(self, method: str, params: Params) -> None:
        self._send(self._wire.ask(method, params))

    def _send(self, line: bytes) -> None:
        if self._pipe is not None and not self._pipe.is_closing():
            self._pipe.write(line)

    async def _answer_requests(self) -> None:
        """One at a time, in their order. A request is open until its answer is on its way: answers cannot pile up.

        Raises ConnectionError when the agent does not listen any more.
        """
        assert self._pipe is not None
        while True:
            request = await self._requests.get()
            result = await _finished(asyncio.create_task(asyncio.to_thread(self._answer, request)))
            if isinstance(result, Fault):
                self._send(self._wire.refuse(request, result))
            else:
                self._say_what_was_decided(request, result)
                self._send(self._wire.answer(request, result))
            await self._pipe.drain()
            self._wire.answered(request)

    def _answer(self, request: Request) -> Any:
        try:
            return self._client.answer(request)
        except Refusal as refusal:
            return refusal.fault

    def _say_what_was_decided(self, request: Request, result: Any) -> None:
        if request.method == PERMISSION:
            granted = {"allow": "allowed", "reject": "rejected"}[self._client.permissions]
            decided = granted if result["outcome"]["outcome"] == "selected" else "not decided"
            self._listener.noted(f"{self._updates.title(request.params.get('toolCall'))}: {decided}")


async def _finished(doing: asyncio.Task[Any]) -> Any:
    """A file that is being written is written to its end, for the tree is looked through after that."""
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing})
        raise


def _hello() -> Params:
    return {
        "protocolVersion": VERSION,
        "clientCapabilities": CAPABILITIES,
        "clientInfo": {"name": "agentcom-sidecar", "version": __version__},
    }


def _late(stop_reason: str) -> Ending:
    return Ending(
        code="deadline", message="did not end in time", stop_reason=stop_reason, partial=True, blame="capability"
    )
