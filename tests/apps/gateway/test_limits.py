"""How fast one socket may speak: by a clock of the test's, without waiting."""

from __future__ import annotations

import asyncio

import pytest

from apps.agents.models import Agent
from apps.events.lanes import HOT
from apps.gateway.consumers import SidecarConsumer
from apps.gateway.limits import BURST, DEAR, MISTAKE_WINDOW, MISTAKES, RATE, Pace
from apps.gateway.outbound import Told
from sidecar.wire import messages


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("tokens", [1, DEAR])
def test_a_burst_is_free_and_what_follows_is_paced(clock: Clock, tokens: float) -> None:
    pace = Pace(clock)
    burst = [pace.debt(tokens) for _ in range(int(BURST / tokens))]
    after = [pace.debt(tokens) for _ in range(3)]

    assert {0.0} == set(burst)
    assert [tokens * number / RATE for number in (1, 2, 3)] == pytest.approx(after)


def test_who_is_quiet_for_a_while_may_speak_in_a_burst_again_and_no_more_than_one(clock: Clock) -> None:
    pace = Pace(clock)
    for _ in range(int(BURST)):
        pace.debt()
    clock.now += 3_600

    assert [0.0] * int(BURST) == [pace.debt() for _ in range(int(BURST))]
    assert pace.debt() > 0


@pytest.mark.parametrize(
    ("frame", "cost"),
    [(messages.ModelsOffered(models=[]), [DEAR]), (messages.TaskAccepted(task=1, attempt=1), [])],
)
async def test_a_frame_that_is_taken_apart_into_many_rows_is_paced_as_many(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, frame: messages.Frame, cost: list[float]
) -> None:
    consumer, paid = SidecarConsumer(), list[float]()

    async def nothing(*_: object) -> list[messages.Frame]:
        return []

    async def wait(tokens: float = 1) -> None:
        paid.append(tokens)

    consumer.pace, consumer.turn, consumer.told, consumer.agent = Pace(clock), asyncio.Lock(), Told(), Agent(pk=1)
    monkeypatch.setattr(consumer.pace, "wait", wait)
    monkeypatch.setattr(HOT, "share", nothing)
    await consumer._act(frame)

    assert cost == paid


def test_mistakes_are_counted_for_a_while(clock: Clock) -> None:
    pace = Pace(clock)
    first = [pace.mistake() for _ in range(MISTAKES)]
    one_more = pace.mistake()
    clock.now += MISTAKE_WINDOW + 1

    assert (False, True, False) == (any(first), one_more, pace.mistake())
