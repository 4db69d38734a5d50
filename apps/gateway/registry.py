"""The sockets that this process holds, so that one statement can confirm them all, and each can be told to look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

LIVE: dict[str, Callable[[], Awaitable[None]]] = {}
"""Connection names of welcomed sidecars, with what makes each look for news."""
