"""What every socket of ours is built on."""

from __future__ import annotations

from typing import Any

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer


class LaneConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels ships no types
    """A socket that talks to the database on a lane, if at all.

    Channels hops to a thread before every message, to close connections that the lanes look after already.
    """

    async def dispatch(self, message: dict[str, Any]) -> None:
        await getattr(self, get_handler_name(message))(message)
