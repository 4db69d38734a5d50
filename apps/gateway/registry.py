"""The sockets that this process holds, so that one statement can confirm them all."""

from __future__ import annotations

LIVE: set[str] = set()
"""Connection names of welcomed sidecars."""
