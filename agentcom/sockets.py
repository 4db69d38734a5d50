"""Every connection that is more than a request: the sidecars' socket, the pages' socket, and git."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from apps.dashboard.consumers import LiveConsumer
from apps.gateway.consumers import SidecarConsumer
from apps.gateway.git_door import git_door

sidecars = URLRouter([path("agent", SidecarConsumer.as_asgi())])
browsers = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([path("live", LiveConsumer.as_asgi())])))


async def websockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Sidecars prove themselves by a token; browsers by a session, from our own origin only. Nothing else is served."""
    if scope["path"] == "/agent":
        await sidecars(scope, receive, send)
    elif scope["path"] == "/live":
        await browsers(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 4404})


def http_streams(django: Any) -> Any:
    """Git over HTTP streams past Django, whose requests are held in memory; everything else is Django's."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await (git_door if scope["path"].startswith("/git/") else django)(scope, receive, send)

    return application
