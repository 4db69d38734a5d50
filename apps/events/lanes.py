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
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponseBase
from django.urls import set_script_prefix

P = ParamSpec("P")
T = TypeVar("T")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


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
GIT = Lanes("git", 1)
GIT_PATHS = ("/api/pulls", "/api/repos", "/api/agent/pulls", "/pulls/", "/repos")
"""These wait for git, and for an upstream at worst: on a hot lane that would hold up heartbeats until leases lapse."""


def lanes_for(path: str) -> Lanes:
    """Where a request for `path` is answered."""
    if path.startswith(GIT_PATHS):
        return GIT
    return HOT if path.startswith("/api/") else PAGES


class LaneHandler(ASGIHandler):
    """Django's handler with the whole synchronous request, middleware and all, run on a lane in one hop.

    Django would hop between the loop and a thread at every border between synchronous and asynchronous middleware, and
    for the signals at both ends of a request; the lanes look after connections themselves.
    """

    def __init__(self) -> None:
        # Not ASGIHandler's: that loads the middleware for the event loop.
        BaseHandler.__init__(self)
        self.load_middleware(is_async=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lanes = lanes_for(scope["path"])
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        set_script_prefix(get_script_prefix(scope))
        request, refusal = self.create_request(scope, body)
        response = refusal if request is None else await lanes.run(None, self._respond, request)
        body.close()
        if response is not None:
            # Streamed pieces may query the database too; they are made on a lane as well.
            async with ThreadSensitiveContext(executor=lanes.pick()):
                await self.send_response(response, send)

    def _respond(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not response.streaming:
            response.close()
        return response
