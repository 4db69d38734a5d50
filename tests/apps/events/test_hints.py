"""Who is told of a hint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.events import hints


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the layer is told."""
    told: list[str] = []
    bell = hints.Bell()

    async def told_of(group: str, message: object) -> None:
        told.append(group)

    monkeypatch.setattr(hints, "_send", told_of)
    monkeypatch.setattr(hints, "_bell", lambda: bell)
    monkeypatch.setattr(hints, "_near", {})
    yield told
    bell.loop.close()


def listen_a_moment() -> None:
    """Until what has been rung is told."""
    loop = hints._bell().loop
    loop.call_later(hints.GATHER_SECONDS * 2, loop.stop)
    loop.run_forever()


def test_a_socket_of_this_process_is_told_without_the_layer(far: list[str]) -> None:
    near: list[str] = []
    hints.listen("agent.1", lambda: near.append("one"))
    hints.send("agent.1")
    hints.send("agent.2")
    listen_a_moment()

    assert (["one"], ["agent.2"]) == (near, far)


def test_who_leaves_takes_only_itself_away(far: list[str]) -> None:
    heard: list[str] = []

    def old() -> None:
        heard.append("old")

    def new() -> None:
        heard.append("new")

    hints.listen("agent.1", old)
    hints.listen("agent.1", new)
    hints.leave("agent.1", old)
    hints.send("agent.1")
    hints.leave("agent.1", new)
    hints.send("agent.1")
    listen_a_moment()

    assert (["new"], ["agent.1"]) == (heard, far)


def test_what_pages_show_goes_to_all_of_them_in_one_message(far: list[str]) -> None:
    for group in ("task.1", "dashboard", "task.1"):
        hints.send(group)
    listen_a_moment()
    hints.send("task.1")
    listen_a_moment()

    assert ["pages", "pages"] == far
