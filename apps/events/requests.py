"""HTTP requests on the database lanes: which one answers what, and Django's handler for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.urls import set_script_prefix

from apps.events.lanes import GIT, HOT, PAGES, Lanes

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

GIT_PATHS = ("/api/pulls", "/api/repos", "/api/agent/pulls", "/pulls/", "/repos")
"""These wait for git, and for an upstream at worst: on a hot lane that would hold up heartbeats until leases lapse."""
SHARED = {("POST", "/api/tasks")}
"""Requests that may share a commit."""


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
        turn = lanes.in_turn()
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        set_script_prefix(get_script_prefix(scope))
        request, refusal = self.create_request(scope, body)
        if request is None:
            response = refusal
        else:
            run = lanes.share if (request.method, request.path) in SHARED else lanes.run
            try:
                response = await run(turn, self.get_response, request)
            finally:
                body.close()
        if response is not None:
            # Streamed pieces may query the database too; they are made on a lane as well.
            try:
                async with ThreadSensitiveContext(executor=lanes.pick(turn).thread):
                    await self.send_response(response, send)
            finally:  # here and not on the lane, where it would close a connection that is in others' transaction
                response.close()
