"""The channel layer on Redis that lets a Redis come and go.

Channels' own refuses a new socket, and fails to end an old one, while Redis is away. Hints may be lost, sockets may
not: here what could not be subscribed to is asked for again until Redis is back.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection
from channels_redis.utils import decode_hosts
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)
AWAY = (RedisError, OSError)
AGAIN_SECONDS = 1.0


class Shard(RedisSingleShardConnection):  # type: ignore[misc]  # channels_redis ships no types
    """One Redis. Subscribing never fails; it may take effect later."""

    def __init__(self, host: Any, layer: Any) -> None:
        super().__init__(host, layer)
        self._missed: set[str] = set()
        self._catching_up: asyncio.Task[None] | None = None

    async def subscribe(self, channel: str) -> None:
        try:
            await super().subscribe(channel)
        except AWAY as problem:
            logger.warning("cannot listen for hints yet", channel=channel, error=str(problem))
            self._missed.add(channel)
            if self._catching_up is None or self._catching_up.done():
                self._catching_up = asyncio.create_task(self._catch_up(), name="hints-catch-up")

    async def unsubscribe(self, channel: str) -> None:
        self._missed.discard(channel)
        try:
            await super().unsubscribe(channel)
        except AWAY:  # nobody reads what still comes
            self._subscribed_to.discard(channel)

    async def flush(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._missed.clear()
        await super().flush()

    async def _catch_up(self) -> None:
        while self._missed:
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                for channel in sorted(self._missed):
                    if channel in self._missed:  # not unsubscribed from meanwhile
                        await super().subscribe(channel)
                        self._missed.discard(channel)
            except AWAY:
                continue


class Layer(RedisPubSubChannelLayer):  # type: ignore[misc]  # channels_redis ships no types
    """What CHANNEL_LAYERS names; `hosts` as channels_redis takes them."""

    def _get_layer(self) -> Any:
        known = asyncio.get_running_loop() in self._layers
        layer = super()._get_layer()
        if not known:
            layer._shards = [Shard(host, layer) for host in decode_hosts(self._kwargs["hosts"])]  # noqa: SLF001  the only way to choose them
        return layer
