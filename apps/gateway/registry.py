"""The sockets that this process holds, so that one statement can confirm them all, and each can be told to look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from apps.gateway.outbound import Told


class Socket(NamedTuple):
    """`look` makes it look for news; `token` is the id of the one it came in with; `told` is what it knows."""

    look: Callable[[], Awaitable[None]]
    token: int
    told: Told


LIVE: dict[str, Socket] = {}
"""Sockets of welcomed sidecars by the name of their connection."""
