"""The connection: how it is made, what it carries, and when it comes back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import serve

from sidecar.link import LONGEST_WAIT, OTHER_VERSION, REFUSED, REPLACED, RESTARTING, Backoff, Link
from sidecar.wire import MAX_FRAME_BYTES, VERSION, messages
from tests.sidecar.hub import ModelHub, listening


class Now(Backoff):
    """Comes back at once, and remembers why it had to."""

    def __init__(self):
        super().__init__()
        self.codes = []

    def wait(self, code, lived, *, hurry=False):
        self.codes.append(code)
        return 0.01


@asynccontextmanager
async def linked(address, token="act_agent_x", **calls):
    backoff = Now()
    calls = {"opened": lambda: None, "heard": lambda _: None, "closed": lambda _: None, **calls}
    link = Link(address.replace("http", "ws"), token, backoff=backoff, **calls)
    running = asyncio.create_task(link.run())
    try:
        yield link, backoff
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):  # asked for
            await running


def test_waits_double_up_to_a_minute_and_start_again_after_a_good_connection():
    backoff = Backoff(jitter=lambda: 1.0)

    assert [1, 2, 4, 8, 16, 32, 60, 60] == [backoff.wait(None, 0) for _ in range(8)]
    assert 1 == backoff.wait(None, 3600)


def test_waits_are_spread():
    waits = {Backoff().wait(None, 0) for _ in range(20)}

    assert len(waits) > 10
    assert all(0.5 <= wait <= 1 for wait in waits)


@pytest.mark.parametrize(
    ("code", "least", "most"),
    [(RESTARTING, 0, 5), (REFUSED, 45, LONGEST_WAIT), (OTHER_VERSION, 45, LONGEST_WAIT), (REPLACED, 30, 37.5)],
)
def test_the_close_code_decides_how_long_to_stay_away(code, least, most):
    assert least == pytest.approx(Backoff(jitter=lambda: 0.0).wait(code, 0))
    assert most == pytest.approx(Backoff(jitter=lambda: 1.0).wait(code, 0))


async def test_it_shows_its_token_says_what_it_is_told_and_hears_the_answer():
    heard: asyncio.Queue[Any] = asyncio.Queue()
    hub = ModelHub()
    async with listening(hub) as address:
        holder: list[Link] = []
        opened = lambda: holder[0].send(messages.Hello(version=VERSION))  # noqa: E731
        async with linked(address, heard=heard.put_nowait, opened=opened) as (link, _):
            holder.append(link)
            answer = await asyncio.wait_for(heard.get(), 10)

    assert ["Bearer act_agent_x"] == hub.tokens
    assert isinstance(answer, messages.Welcome)


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("http_proxy", "https_proxy", "ws_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    opened = asyncio.Event()
    async with listening(ModelHub()) as address, linked(address, opened=opened.set):
        await asyncio.wait_for(opened.wait(), 10)


async def test_it_comes_back_and_tells_both_ends_of_each_connection():
    told: asyncio.Queue[str] = asyncio.Queue()
    hub = ModelHub()
    async with (
        listening(hub) as address,
        linked(address, opened=lambda: told.put_nowait("opened"), closed=told.put_nowait) as (_, backoff),
    ):
        assert "opened" == await asyncio.wait_for(told.get(), 10)
        while hub.socket is None:  # noqa: ASYNC110  the other end of the same moment
            await asyncio.sleep(0.01)
        await hub.socket.close(RESTARTING)
        assert "the hub restarts" == await asyncio.wait_for(told.get(), 10)
        assert "opened" == await asyncio.wait_for(told.get(), 10)

    assert [RESTARTING] == backoff.codes


async def test_a_hub_that_refuses_with_http_counts_as_refused():
    def refuse(connection, request):
        return connection.respond(HTTPStatus.FORBIDDEN, "no")

    async def nobody(socket):
        await socket.wait_closed()

    async with serve(nobody, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        async with linked(f"http://127.0.0.1:{port}") as (_, backoff), asyncio.timeout(10):
            while not backoff.codes:  # noqa: ASYNC110  there is no event for a failed try
                await asyncio.sleep(0.01)

    assert REFUSED == backoff.codes[0]


@pytest.mark.parametrize("nonsense", ["nonsense", '{"type": "new.frame"}', b"\x00binary", '{"type": "task.assign"}'])
async def test_what_cannot_be_understood_is_passed_over_and_the_connection_stays(nonsense):
    heard: asyncio.Queue[Any] = asyncio.Queue()
    hub, opened = ModelHub(), asyncio.Event()
    async with listening(hub) as address, linked(address, heard=heard.put_nowait, opened=opened.set) as (_, backoff):
        await asyncio.wait_for(opened.wait(), 10)
        while hub.socket is None:  # noqa: ASYNC110  the other end of the same moment
            await asyncio.sleep(0.01)
        await hub.socket.send(nonsense)
        await hub.say(messages.TaskCancel(task=1, attempt=1))
        frame = await asyncio.wait_for(heard.get(), 10)

    assert isinstance(frame, messages.TaskCancel)
    assert [] == backoff.codes


async def test_a_frame_over_the_limit_ends_the_connection_and_not_the_link():
    opened: asyncio.Queue[int] = asyncio.Queue()
    hub = ModelHub()
    async with listening(hub) as address, linked(address, opened=lambda: opened.put_nowait(1)):
        await asyncio.wait_for(opened.get(), 10)
        while hub.socket is None:  # noqa: ASYNC110  the other end of the same moment
            await asyncio.sleep(0.01)
        with suppress(Exception):  # the other side hangs up in the middle of it
            await hub.socket.send("x" * (MAX_FRAME_BYTES + 1))
        assert 1 == await asyncio.wait_for(opened.get(), 10)


async def test_saying_something_without_a_connection_is_no_error():
    link = Link("ws://127.0.0.1:9", "t", opened=lambda: None, heard=lambda _: None, closed=lambda _: None)

    link.send(messages.Heartbeat())
    await link.hangup()
    await link.flush()


def test_with_work_in_hand_the_next_try_comes_long_before_the_lease_is_over() -> None:
    backoff = Backoff(jitter=lambda: 1.0)

    assert max(backoff.wait(None, 0, hurry=True) for _ in range(10)) == pytest.approx(3.0)
