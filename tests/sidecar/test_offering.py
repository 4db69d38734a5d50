"""What a sidecar offers, as its endpoints come and go."""

from __future__ import annotations

import asyncio

import pytest

from sidecar import minds
from sidecar.config import Thinker
from sidecar.offering import MISSES, Offering
from tests.providers.ollama import NAME, OllamaServer, serving


def thinker(url: str, **more) -> Thinker:
    return Thinker(executor="ollama", model=NAME, url=url, **more)


CLAUDE = Thinker(executor="claude", model="claude-sonnet-5-5", url="https://api.example", grade="claude", key="k")


@pytest.fixture
def looks(monkeypatch):
    """Every look at the endpoints waits for this; released once for each."""
    turn = asyncio.Semaphore(0)

    async def sleep(_seconds):
        await turn.acquire()

    monkeypatch.setattr("sidecar.offering.asyncio.sleep", sleep)
    return turn


async def told(changes: asyncio.Queue) -> list[str]:
    return [offer.model for offer in await asyncio.wait_for(changes.get(), 10)]


async def test_an_endpoint_that_misses_twice_is_gone_and_one_answer_brings_it_back(looks):
    changes: asyncio.Queue = asyncio.Queue()
    server = OllamaServer()
    async with serving(server):
        thinkers = [thinker(server.url), CLAUDE]
        offered = Offering(thinkers, minds.offers(thinkers))
        real = server.pages
        watching = asyncio.create_task(offered.watch(changes.put_nowait))
        looks.release()
        server.pages = {"/api/ps": b"out of order"}
        for _ in range(MISSES + 1):
            looks.release()
        gone = await told(changes)
        server.pages = real
        looks.release()
        back = await told(changes)
        watching.cancel()

    assert ["claude-sonnet-5-5"] == gone
    assert [NAME, "claude-sonnet-5-5"] == back


async def test_a_model_that_is_loaded_is_said_to_be_warm(looks):
    changes: asyncio.Queue = asyncio.Queue()
    async with serving(OllamaServer()) as server:
        offered = Offering([thinker(server.url)], minds.offers([thinker(server.url)]))
        cold = [offer.warm for offer in offered.now()]
        server.loaded = {NAME: 8_192}
        watching = asyncio.create_task(offered.watch(changes.put_nowait))
        warm = [offer.warm for offer in await asyncio.wait_for(changes.get(), 10)]
        watching.cancel()

    assert ([False], [True]) == (cold, warm)


async def test_without_local_endpoints_there_is_nothing_to_look_at():
    offered = Offering([CLAUDE], minds.offers([CLAUDE]))

    await asyncio.wait_for(offered.watch(lambda _: None), 5)

    assert ["claude-sonnet-5-5"] == [offer.model for offer in offered.now()]
