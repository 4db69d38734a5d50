"""Database lanes: the few threads of a web process that talk to the database, each with one lasting connection.

Django under ASGI makes a thread, and so a connection, for every request. SQLite wants one persistent writer; PostgreSQL
wants a handful of persistent connections. So the sidecars' door and REST share the hot lanes, and pages and admin have
one of their own, where a slow page holds up nobody's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import ThreadSensitiveContext
from django.conf import settings
from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")

Scope = dict[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Lanes:
    """`count` threads; work with the same `key` always runs on the same one, in order."""

    def __init__(self, name: str, count: int) -> None:
        self._threads = [ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-{n}") for n in range(count)]
        self._next = 0

    def pick(self, key: int | None = None) -> ThreadPoolExecutor:
        """The lane of `key`, or the next one in turn."""
        if key is None:
            self._next += 1
            key = self._next
        return self._threads[key % len(self._threads)]

    async def run(self, key: int | None, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking `work` on a lane. Work that has begun is finished even when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self.pick(key), lambda: _tidily(work, *args, **kwargs))


def _tidily(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    try:
        return work(*args, **kwargs)
    finally:
        close_old_connections()


HOT = Lanes("hot", 1 if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3") else settings.DATABASE_LANES)
PAGES = Lanes("pages", 1)


def on_lanes(django: Application) -> Application:
    """Django's ASGI application with its synchronous views on the lanes instead of a new thread each."""

    async def application(
        scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        lanes = HOT if scope["path"].startswith("/api/") else PAGES
        async with ThreadSensitiveContext(executor=lanes.pick()):
            await django(scope, receive, send)

    return application
