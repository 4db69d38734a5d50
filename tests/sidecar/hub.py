"""A hub of a few lines on a real socket, for tests of the sidecar's side: it says what a test tells it to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import serve

from sidecar.wire import VERSION, decode_from_sidecar, encode, messages
from sidecar.wire.nouns import Brief, Identity, Verdict

LEASE = 20.0
PATIENCE = 40.0


def assignment(command="true", *, attempt=1, task=1, **kwargs):
    return messages.TaskAssign(
        task=task,
        attempt=attempt,
        generation=1,
        executor=kwargs.pop("executor", "shell"),
        brief=Brief(title="Do it", command=command),
        timeout_seconds=kwargs.pop("timeout_seconds", 60),
        lease_seconds=kwargs.pop("lease_seconds", LEASE),
        identity=Identity(name="ada", email="ada@example.org"),
        **kwargs,
    )


class ModelHub:
    """Welcomes, renews and settles by itself; everything it hears is in `heard`, and `expect` waits for more."""

    def __init__(self):
        self.heard: list[Any] = []
        self.tokens: list[str | None] = []
        self.socket: Any = None
        self.settles = True
        self.welcomes = True
        self.refuse: int | None = None  # a close code for every new connection
        self.verdict: Any = "continue"
        self.beat_seconds = 5.0
        self.lease = LEASE
        self._news = asyncio.Event()

    async def serve_one(self, socket):
        self.tokens.append(socket.request.headers.get("Authorization"))
        if self.refuse:
            await socket.close(self.refuse)
            return
        self.socket = socket
        async for text in socket:
            frame = decode_from_sidecar(text)
            self.heard.append(frame)
            self._news.set()
            await self.answer(frame)

    async def answer(self, frame):
        if isinstance(frame, messages.Hello) and self.welcomes:
            named = [*frame.holding, *frame.undelivered]
            await self.say(
                messages.Welcome(
                    version=VERSION,
                    agent="ada",
                    heartbeat_seconds=self.beat_seconds,
                    idle_seconds=self.beat_seconds,
                    lease_seconds=self.lease,
                    verdicts=[Verdict(task=h.task, attempt=h.attempt, verdict=self.verdict) for h in named],
                )
            )
        elif isinstance(frame, messages.Heartbeat):
            renewed = [held.attempt for held in frame.holding]
            await self.say(messages.HeartbeatAck(id=frame.id, renewed=renewed, lease_seconds=self.lease))
        elif isinstance(frame, messages.Terminal) and self.settles:
            await self.say(messages.TaskSettled(task=frame.task, attempt=frame.attempt, outcome="succeeded"))

    async def say(self, frame):
        await self.socket.send(encode(frame))

    def all(self, kind):
        return [frame for frame in self.heard if isinstance(frame, kind)]

    async def expect(self, kind, *, count=1, where=lambda _: True):
        """The `count`th frame of a kind that was ever heard, as soon as it is there."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [frame for frame in self.all(kind) if where(frame)]) < count:
                self._news.clear()
                await self._news.wait()
        return found[count - 1]


@asynccontextmanager
async def listening(hub, port=0):
    """The hub on a port of its own; yields its http address."""
    async with serve(hub.serve_one, "127.0.0.1", port) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
