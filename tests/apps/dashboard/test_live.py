"""The pages' socket."""

import json

import pytest
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User

from apps.dashboard.consumers import MALFORMED, UNWELCOME, LiveConsumer, wanted_groups
from apps.events.hints import PAGES

OPERATOR = User(username="grace", is_staff=True, is_active=True)


async def opened(user=OPERATOR) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(LiveConsumer.as_asgi(), "/live")
    socket.scope["user"] = user
    await socket.connect()
    return socket


async def watching(*groups: str) -> WebsocketCommunicator:
    socket = await opened()
    await socket.send_json_to({"watch": list(groups)})
    assert {"watching": sorted(groups)} == await socket.receive_json_from()
    return socket


async def hint(*groups: str) -> None:
    await get_channel_layer().group_send(PAGES, {"type": "hint", "groups": list(groups)})


@pytest.mark.parametrize("user", [AnonymousUser(), User(username="visitor"), User(is_staff=True, is_active=False)])
async def test_only_operators_are_let_in(user):
    socket = await opened(user)

    assert {"type": "websocket.close", "code": UNWELCOME} == {
        key: value for key, value in (await socket.receive_output()).items() if key != "reason"
    }


async def test_a_page_hears_of_what_it_shows_and_of_nothing_else():
    socket = await watching("dashboard", "task.7")
    await hint("task.8", "needs-you")
    await hint("task.8", "task.7")

    assert {"changed": ["task.7"]} == await socket.receive_json_from()
    assert await socket.receive_nothing()
    await socket.disconnect()


async def test_many_hints_at_once_are_told_once():
    socket = await watching("dashboard", "task.7")
    for _ in range(50):
        await hint("dashboard")
        await hint("task.7")

    assert {"changed": ["dashboard", "task.7"]} == await socket.receive_json_from()
    assert await socket.receive_nothing()
    await socket.disconnect()


async def test_a_page_that_shows_something_else_now_stops_hearing_of_the_old():
    socket = await watching("task.7")
    await socket.send_json_to({"watch": ["task.9"]})
    await socket.receive_json_from()
    await hint("task.7")

    assert await socket.receive_nothing()
    await socket.disconnect()


@pytest.mark.parametrize(
    "text",
    ["no json", "[" * 5000, "7", "{}", '{"watch": "dashboard"}', '{"watch": [7]}', '{"watch": ["agent.1"]}',
     '{"watch": ["task.1\\n"]}', json.dumps({"watch": ["task.1"] * 41}), '{"watch": ["task.' + "9" * 30 + '"]}'],
)  # fmt: skip
async def test_what_is_no_wish_to_watch_closes_the_socket(text):
    assert wanted_groups(text) is None
    socket = await opened()
    await socket.send_to(text_data=text)

    assert MALFORMED == (await socket.receive_output())["code"]


async def test_a_binary_frame_closes_the_socket():
    socket = await opened()
    await socket.send_to(bytes_data=b"\x00\x01")

    assert MALFORMED == (await socket.receive_output())["code"]
