"""What a web process serves: paths (urls.py), connections (sockets.py) and git."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentcom.settings")

import django
from channels.routing import ProtocolTypeRouter

django.setup(set_prefix=False)  # before anything that imports models

from agentcom.sockets import http_streams, websockets  # noqa: E402  see above
from apps.events.requests import LaneHandler  # noqa: E402
from apps.gateway.heart import start_beating  # noqa: E402

_router = ProtocolTypeRouter({"http": http_streams(LaneHandler()), "websocket": websockets})


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application. The first scope also starts this process's own sweeps: any server will do."""
    if scope["type"] == "lifespan":
        return
    start_beating()
    await _router(scope, receive, send)
