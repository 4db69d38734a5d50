"""The socket of one sidecar: reads frames, calls one action each, sends what the database says."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog

from apps.agents import presence
from apps.agents.models import Agent, Token
from apps.agents.tokens import authenticate
from apps.events import hints
from apps.events.consumer import LaneConsumer
from apps.events.lanes import HOT
from apps.events.refused import Refused
from apps.gateway import inbound, process
from apps.gateway.limits import DEAR, Pace
from apps.gateway.outbound import REFUSED, News, Told, news
from apps.gateway.registry import LIVE, Socket
from sidecar.wire import VERSION, BadFrame, decode_from_sidecar, encode, messages

logger = structlog.get_logger(__name__)

PROTOCOL, VERSION_MISMATCH, FAILED = 4400, 4426, 1011


_VERBS: dict[type[messages.Frame], Callable[..., inbound.Frames]] = {
    messages.EndpointRestarted: inbound.endpoint_restarted,
    messages.Heartbeat: inbound.heartbeat,
    messages.HostMeasured: inbound.host_measured,
    messages.ModelCalls: inbound.model_calls,
    messages.ModelsOffered: inbound.models_offered,
}
"""Frames that are not about one attempt's fence."""


class SidecarConsumer(LaneConsumer):
    """One connection of one agent. Losing it takes nothing away; a newer one takes over."""

    agent: Agent
    token: Token

    async def connect(self) -> None:
        self.connection = f"{process.this().name}.{uuid.uuid4().hex}"
        self.told = Told()
        self.pace = Pace(time.monotonic)
        self.welcomed = False
        self.turn = asyncio.Lock()
        self.looking: asyncio.Task[None] | None = None
        self.loop = asyncio.get_running_loop()
        found = await HOT.run(None, _who, dict(self.scope["headers"]).get(b"authorization", b""))
        await self.accept()  # before a refusal too, or the client would see a bare HTTP error instead of the code
        if found is None:
            await self.close(code=REFUSED)
            return
        self.agent, self.token = found
        self.log = logger.bind(agent=self.agent.name)

    async def disconnect(self, code: int) -> None:
        LIVE.pop(self.connection, None)
        self.welcomed = False
        if not hasattr(self, "agent"):
            return
        hints.leave(self.agent.group, self.nudge)
        await self.channel_layer.group_discard(self.agent.group, self.channel_name)
        await HOT.run(self.agent.pk, presence.leave, self.agent, self.connection)
        self.log.info("sidecar left", code=code)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not hasattr(self, "agent"):
            return
        await self.pace.wait()
        try:
            if text_data is None:
                raise BadFrame("binary_frame", "Frames are text messages.")
            await self._handle(decode_from_sidecar(text_data))
        except BadFrame as bad:
            await self._send([bad.answer])
            if not self.welcomed or text_data is None or self.pace.mistake():
                await self.close(code=PROTOCOL)

    async def _handle(self, frame: messages.Frame) -> None:
        if isinstance(frame, messages.Hello):
            await self._hello(frame)
        elif not self.welcomed:
            raise BadFrame("hello_first", "The first frame of a connection is hello.", about=frame.id)
        elif isinstance(frame, messages.Heartbeat) and not frame.holding:
            # Most frames of most sidecars; they change nothing, so they cost no database work.
            await self._send(inbound.heartbeat(self.agent, frame, self.told))
        else:
            await self._act(frame)

    async def _act(self, frame: messages.Frame) -> None:
        verb = _VERBS.get(type(frame), inbound.about_attempt)
        if isinstance(frame, messages.ModelsOffered):
            await self.pace.wait(DEAR)
        async with self.turn:
            try:
                answers = await HOT.share(self.agent.pk, verb, self.agent, frame, self.told)
            except Refused as no:
                answers = [messages.ErrorFrame(code=no.code, message=no.message, about=frame.id)]
            except Exception:  # a frame must never end the connection; the sidecar sends terminal ones again
                self.log.exception("frame failed", frame=getattr(frame, "type", ""))
                sorry = "The hub could not do that now."
                answers = [messages.ErrorFrame(code="internal", message=sorry, about=frame.id)]
            await self._send(answers)

    async def _hello(self, frame: messages.Hello) -> None:
        if frame.version != VERSION:
            sentence = f"This hub speaks version {VERSION} of the protocol, not {frame.version}."
            await self._send([messages.ErrorFrame(code="unsupported_version", message=sentence, about=frame.id)])
            await self.close(code=VERSION_MISMATCH)
            return
        await self.channel_layer.group_add(self.agent.group, self.channel_name)
        try:
            answers = await HOT.run(self.agent.pk, inbound.hello, self.agent, self.connection, frame, self.told)
        except Exception:  # the sidecar comes back and says hello again
            self.log.exception("hello failed")
            await self.close(code=FAILED)
            return
        self.welcomed = True
        LIVE[self.connection] = Socket(self.look, self.token.pk, self.told)
        hints.listen(self.agent.group, self.nudge)
        self.log.info("sidecar joined", software=frame.software, sandbox=frame.sandbox.level)
        await self._send(answers)
        await self._look_if_possible()

    def nudge(self) -> None:
        """Something about this agent changed; called on any thread of this process."""
        self.loop.call_soon_threadsafe(self._nudged)

    async def hint(self, event: dict[str, Any]) -> None:
        """The same, from another process."""
        self._nudged()

    def _nudged(self) -> None:
        """Look soon. Nudged again before it has begun, one look is enough."""
        if self.looking is None and self.welcomed:
            self.looking = asyncio.create_task(self._look_if_possible(), name="look")

    async def _look_if_possible(self) -> None:
        """What fails here the heart makes good: it makes sockets look whose agents have heard nothing."""
        try:
            await self.look()
        except Exception:
            self.log.exception("could not look")

    async def look(self) -> None:
        """Look at the truth, and say what is new; after what is being said already."""
        async with self.turn:
            self.looking = None
            if not self.welcomed:
                return
            found: News = await HOT.run(self.agent.pk, news, self.agent.pk, self.connection, self.token.pk, self.told)
            await self._send(found.frames)
        if found.close is not None:
            self.log.info("closing socket", code=found.close)
            await self.close(code=found.close)

    async def _send(self, frames: Any) -> None:
        for frame in frames:
            await self.send(text_data=encode(frame))


def _who(header: bytes) -> tuple[Agent, Token] | None:
    kind, _, secret = header.decode("latin-1").partition(" ")
    token = authenticate(secret.strip()) if kind.lower() == "bearer" else None
    if token is None or token.agent is None:
        return None
    return token.agent, token
