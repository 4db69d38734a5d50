"""The connection to the hub: made, kept alive, made again. Knows nothing of what is said over it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Final

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from sidecar import __version__
from sidecar.wire import MAX_FRAME_BYTES, BadFrame, decode_from_hub, encode
from sidecar.wire.messages import Frame

logger = structlog.get_logger(__name__)

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
LONGEST_HURRIED_WAIT: Final = 3.0
"""With work in hand: its lease runs, so a hub that is back must hear of it well before the lease is over."""
REPLACED_WAIT: Final = 30.0
RESTART_JITTER: Final = 5.0
STEADY_SECONDS: Final = 10.0
"""A connection that lived this long was a good one; the next failure starts the waiting from the beginning."""
PING_SECONDS: Final = 5.0
PONG_SECONDS: Final = 10.0

RESTARTING, PROTOCOL, REFUSED, REPLACED, OTHER_VERSION = 1012, 4400, 4401, 4409, 4426
SENTENCES: Final = {
    RESTARTING: "the hub restarts",
    PROTOCOL: "the hub did not understand us",
    REFUSED: "the hub refuses our token: it was revoked or has expired; ask the operator for a new code and join again",
    REPLACED: "another process connected as this agent; is a second sidecar running with the same token?",
    OTHER_VERSION: "the hub speaks another version of the protocol; update this sidecar",
}


class Backoff:
    """How long to wait before the next try, in seconds. Pure but for the randomness it is given."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._failures = 0

    def wait(self, code: int | None, lived: float, *, hurry: bool = False) -> float:
        """After a connection that closed with `code` (None: never stood, or broke) and lived so long."""
        if code == RESTARTING:
            self._failures = 0
            return self._jitter() * RESTART_JITTER
        if code in {REFUSED, OTHER_VERSION}:
            return LONGEST_WAIT * (0.75 + self._jitter() / 4)
        if code == REPLACED:
            return REPLACED_WAIT * (1 + self._jitter() / 4)
        if lived >= STEADY_SECONDS:
            self._failures = 0
        longest = min(LONGEST_HURRIED_WAIT if hurry else LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return longest * (0.5 + self._jitter() / 2)


class Link:
    """One agent's WebSocket to its hub, for as long as `run` runs.

    `opened`, `heard` and `closed` are called on the event loop, in the order in which things happened. `send` never
    waits: what is said while there is no connection is lost, and the session says again what matters.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        opened: Callable[[], None],
        heard: Callable[[Frame], None],
        closed: Callable[[str], None],
        hurry: Callable[[], bool] = lambda: False,
        backoff: Backoff | None = None,
    ) -> None:
        self._address = address
        self._token = token
        self._opened = opened
        self._heard = heard
        self._closed = closed
        self._hurry = hurry
        self._backoff = backoff or Backoff()
        self._outgoing: asyncio.Queue[Frame] | None = None
        self._connection: ClientConnection | None = None

    def send(self, frame: Frame) -> None:
        """Say something on the connection there is."""
        if self._outgoing is not None:
            self._outgoing.put_nowait(frame)

    async def hangup(self) -> None:
        """Close this connection; `run` makes the next."""
        if self._connection is not None:
            await self._connection.close()

    async def flush(self) -> None:
        """Wait until all that was said is on its way; for ever if the connection breaks, so use a deadline."""
        if self._outgoing is not None:
            await self._outgoing.join()

    async def run(self) -> None:
        """Stay connected until cancelled. Raises only what is a mistake of ours, such as an impossible address."""
        while True:
            began = time.monotonic()
            code, reason = await self._once()
            wait = self._backoff.wait(code, time.monotonic() - began, hurry=self._hurry())
            logger.warning("not connected", reason=reason, code=code, retry_in_seconds=round(wait, 1))
            await asyncio.sleep(wait)

    async def _once(self) -> tuple[int | None, str]:
        try:
            connection = await connect(
                self._address,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                user_agent_header=f"agentcom-sidecar/{__version__}",
                proxy=None,  # a token never goes through what the environment names
                max_size=MAX_FRAME_BYTES,
                open_timeout=15,
                close_timeout=3,
                ping_interval=PING_SECONDS,
                ping_timeout=PONG_SECONDS,
            )
        except InvalidURI:
            raise
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            return (REFUSED if status in {401, 403} else None), f"the hub answered with HTTP {status}"
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as problem:
            return None, str(problem) or type(problem).__name__
        try:
            return await self._talk(connection)
        finally:
            with contextlib.suppress(OSError, WebSocketException):  # it is closed or broken: either is what we want
                await connection.close()

    async def _talk(self, connection: ClientConnection) -> tuple[int | None, str]:
        self._connection = connection
        self._outgoing = asyncio.Queue()
        reason = "cancelled"
        try:
            logger.info("connected", hub=self._address)
            self._opened()
            async with asyncio.TaskGroup() as both:
                speaking = both.create_task(self._speak(connection, self._outgoing), name="link-speaks")
                code, reason = await self._listen(connection)
                speaking.cancel()
            return code, reason
        finally:
            self._outgoing = None
            self._connection = None
            self._closed(reason)

    async def _listen(self, connection: ClientConnection) -> tuple[int | None, str]:
        with contextlib.suppress(ConnectionClosed):  # code and reason below are the same however it ended
            async for text in connection:
                try:
                    self._heard(decode_from_hub(text))
                except BadFrame as bad:  # a newer hub may say things we do not know; they are not for us
                    logger.warning("frame not understood", problem=str(bad))
        code = connection.close_code
        return code, SENTENCES.get(code or 0) or connection.close_reason or f"the connection ended ({code})"

    async def _speak(self, connection: ClientConnection, outgoing: asyncio.Queue[Frame]) -> None:
        with contextlib.suppress(ConnectionClosed):  # the listener tells how it ended
            while True:
                await self._say(connection, await outgoing.get())
                outgoing.task_done()

    async def _say(self, connection: ClientConnection, frame: Frame) -> None:
        text = encode(frame)
        size = len(text.encode())
        if size > MAX_FRAME_BYTES:  # reports are made to fit (report.py); nothing else is worth a lost connection
            logger.error("frame too large to send", type=getattr(frame, "type", ""), bytes=size)
            return
        await connection.send(text)
