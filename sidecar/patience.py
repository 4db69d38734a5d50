"""Try again what failed because the hub or the network was away for a moment, and only that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Answer = TypeVar("Answer")

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds between tries: a hub that restarts is back within the half minute that they come to."""

_AWAY = re.compile(
    r"could not resolve|failed to connect|couldn't connect|connection (refused|reset|timed out)|recv failure"
    r"|send failure|empty reply|returned error: 5\d\d|early eof|unexpected disconnect|operation timed out"
    r"|network is unreachable|no route to host|hung up unexpectedly|transfer closed|did not end within",
    re.IGNORECASE,
)


def away(message: str) -> bool:
    """Whether git's words mean that the other side could not be reached, rather than that it said no."""
    return _AWAY.search(message) is not None


async def patiently(
    act: Callable[[], Awaitable[Answer]],
    *,
    failures: type[Exception],
    waits: Sequence[float] = WAITS,
    heard: Callable[[str], None] = lambda _: None,
) -> Answer:
    """What `act` answers, tried again after `failures` that mean nobody was there. Raises the last failure."""
    for wait in waits:
        try:
            return await act()
        except failures as failure:
            if not away(str(failure)):
                raise
            heard(f"the hub cannot be reached; trying again in {wait:g} s")
        await asyncio.sleep(wait)
    return await act()
