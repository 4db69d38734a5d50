"""Sends hints to the channel layer from synchronous code, on one background event loop per process.

`async_to_sync(group_send)` would make a new loop and a new connection for each hint (2.5 ms instead of 0.5 ms). What an
agent waits for goes at once: to its socket when this process holds it, else to a group of its own. What pages show is
gathered for a moment and goes to all pages in one message, since few pages look and much happens: each picks out what
it shows.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import structlog
from channels.layers import get_channel_layer

logger = structlog.get_logger(__name__)

GATHER_SECONDS = 0.05
URGENT = "agent."
PAGES = "pages"
"""The group of everybody who looks at pages."""


class Bell:
    """Tells the layer, on a loop of its own. What is hinted at again before it was told is told once."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._gathered: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()

    def ring(self, group: str) -> None:
        """Tell now, or with the next batch. From any thread; only the first hint of a batch wakes the loop."""
        if group.startswith(URGENT):
            self.loop.call_soon_threadsafe(self._start, group, {"type": "hint", "group": group})
            return
        with self._lock:
            first = not self._gathered
            self._gathered.add(group)
        if first:
            self.loop.call_soon_threadsafe(self.loop.call_later, GATHER_SECONDS, self._tell_gathered)

    def _tell_gathered(self) -> None:
        with self._lock:
            groups, self._gathered = sorted(self._gathered), set()
        self._start(PAGES, {"type": "hint", "groups": groups})

    def _start(self, group: str, message: dict[str, Any]) -> None:
        task = self.loop.create_task(_send(group, message))
        self._sending.add(task)  # the loop itself would let go of a task that nobody holds
        task.add_done_callback(self._sending.discard)


_near: dict[str, Callable[[], None]] = {}


def listen(group: str, wake: Callable[[], None]) -> None:
    """Call `wake`, on whatever thread, instead of telling the layer of `group`. The newest listener counts."""
    _near[group] = wake


def leave(group: str, wake: Callable[[], None]) -> None:
    """Take `wake` back; a newer listener stays."""
    if _near.get(group) == wake:
        del _near[group]


def send(group: str) -> None:
    """Tell whoever listens, without waiting. A layer that is away costs a log line, never the caller's work."""
    if wake := _near.get(group):
        wake()
        return
    _bell().ring(group)


async def _send(group: str, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    try:
        await layer.group_send(group, message)
    except Exception as lost:  # noqa: BLE001  whatever the layer raises, a hint may be lost
        logger.warning("hint lost", group=group, error=str(lost))


@cache
def _bell() -> Bell:
    bell = Bell()
    threading.Thread(target=bell.loop.run_forever, name="hints", daemon=True).start()
    return bell
