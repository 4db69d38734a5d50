"""Hints while Redis comes and goes: sockets are let in and out, and hear again when it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from apps.events.layer import Layer
from apps.ops import valkey

pytestmark = pytest.mark.redis


async def heard(layer: Layer, channel: str) -> None:
    """Send until something arrives, for what was sent before the subscription took effect is lost."""
    async with asyncio.timeout(20):
        receiving = asyncio.create_task(layer.receive(channel))
        while not receiving.done():
            try:
                await layer.group_send("news", {"type": "hint"})
            except RedisError:
                await asyncio.sleep(0.1)
            await asyncio.wait({receiving}, timeout=0.1)


async def test_a_socket_that_came_while_redis_was_away_hears_when_it_is_there(tmp_path: Path) -> None:
    layer = Layer(hosts=[valkey.plan(tmp_path).url])
    channel = await layer.new_channel()
    await layer.group_add("news", channel)
    with valkey.start(tmp_path):
        await heard(layer, channel)
    await layer.flush()


async def test_a_socket_hears_again_after_redis_was_away_and_may_leave_meanwhile(tmp_path: Path) -> None:
    with valkey.start(tmp_path) as server:
        layer = Layer(hosts=[server.url])
        stays, leaves = [await layer.new_channel() for _ in range(2)]
        await layer.group_add("news", stays)
        await layer.group_add("others", leaves)
        await heard(layer, stays)
    await layer.group_discard("others", leaves)
    with valkey.start(tmp_path):
        await heard(layer, stays)
    await layer.flush()
