"""A sidecar that is only its socket: says and hears what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from sidecar.wire import VERSION, decode_from_hub, encode, messages, nouns

F = TypeVar("F", bound=messages.Frame)


class Wire:
    """One connection of one agent."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[messages.Frame] = []

    async def say(self, frame: messages.Frame) -> None:
        await self.socket.send(encode(frame))

    async def hear(self, kind: type[F], within: float = 10.0) -> F:
        """The next frame of this kind; others on the way are kept in `heard`."""
        async with asyncio.timeout(within):
            while True:
                frame = decode_from_hub(await self.socket.recv())
                self.heard.append(frame)
                if isinstance(frame, kind):
                    return frame

    async def hello(self, **facts: Any) -> messages.Welcome:
        facts.setdefault("sandbox", nouns.Sandbox(level="bubblewrap"))
        facts.setdefault("executors", ["shell", "verify"])
        await self.say(messages.Hello(version=VERSION, software="tests", **facts))
        return await self.hear(messages.Welcome)

    async def take(self) -> messages.TaskAssign:
        """Wait for work and accept it."""
        task = await self.hear(messages.TaskAssign)
        await self.say(messages.TaskAccepted(task=task.task, attempt=task.attempt))
        return task

    async def complete(self, task: messages.TaskAssign, **result: Any) -> messages.TaskSettled:
        checks = [nouns.CheckResult(type=c.type, target=c.target, status="pass") for c in task.checks]
        report = nouns.Report(status="pass", checks=checks)
        done = messages.TaskCompleted(
            task=task.task, attempt=task.attempt, result=nouns.Result(**result), reports=[report]
        )
        await self.say(done)
        return await self.hear(messages.TaskSettled)


@contextlib.asynccontextmanager
async def wire(url: str, token: str) -> AsyncIterator[Wire]:
    """A connection to the hub at `url`, not yet introduced."""
    headers = {"Authorization": f"Bearer {token}"}
    target = url.replace("http", "ws", 1) + "/agent"
    async with connect(target, additional_headers=headers, proxy=None, max_size=None) as socket:
        yield Wire(socket)
