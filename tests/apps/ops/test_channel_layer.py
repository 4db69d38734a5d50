"""The pub/sub layer with the options from settings: redis-py's time-out and pool size have broken it before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer

from agentcom.reading import channel_layer

pytestmark = pytest.mark.redis


@pytest.fixture
async def layer(redis_url: str) -> AsyncIterator[RedisPubSubChannelLayer]:
    configuration = channel_layer(redis_url)["CONFIG"]
    layer = RedisPubSubChannelLayer(**configuration)
    yield layer
    await layer.flush()


async def test_a_hint_crosses_from_one_process_to_another(layer, redis_url: str):
    other = RedisPubSubChannelLayer(**channel_layer(redis_url)["CONFIG"])
    channel = await layer.new_channel()
    await layer.group_add("agent.7", channel)

    await other.group_send("agent.7", {"type": "wake"})

    assert {"type": "wake"} == await asyncio.wait_for(layer.receive(channel), 5)
    await other.flush()


@pytest.mark.slow
async def test_twenty_idle_sockets_still_hear_after_25_seconds(layer):
    channels = [await layer.new_channel() for _ in range(20)]
    for channel in channels:
        await layer.group_add("idle", channel)
    hearing = [asyncio.create_task(layer.receive(channel)) for channel in channels]

    # the time is what is tested: redis-py 8 gives up a silent connection after 5 s
    done, _ = await asyncio.wait(hearing, timeout=25, return_when=asyncio.FIRST_COMPLETED)
    assert not done
    await layer.group_send("idle", {"type": "wake"})

    assert [{"type": "wake"}] * 20 == await asyncio.wait_for(asyncio.gather(*hearing), 5)


async def test_a_thousand_sockets_dropped_at_once_leave_their_group(layer):
    channels = [await layer.new_channel() for _ in range(1_000)]
    await asyncio.gather(*(layer.group_add("crowd", channel) for channel in channels))

    await asyncio.gather(*(layer.group_discard("crowd", channel) for channel in channels))

    assert not layer.groups.get("crowd")
    survivor = await layer.new_channel()
    await layer.group_add("crowd", survivor)
    await layer.group_send("crowd", {"type": "wake"})
    assert {"type": "wake"} == await asyncio.wait_for(layer.receive(survivor), 5)
