"""The web process's own clock: confirms its sockets and sweeps the queue, faster than the jobs' clock could."""

from __future__ import annotations

import asyncio
import time

import structlog
from django.conf import settings

from apps.agents import presence
from apps.agents.models import Agent, Token
from apps.events.lanes import HOT
from apps.gateway import known, process, restarts
from apps.gateway.outbound import WISHES, desired_of
from apps.gateway.registry import LIVE
from apps.tasks.models import Attempt
from apps.tasks.sweep import hold_door_open, sweep
from sidecar.wire.messages import AgentDesired

logger = structlog.get_logger(__name__)
CONFIRM_SECONDS = 10.0
_beating: asyncio.Task[None] | None = None


def start_beating() -> None:
    """Start the beat on the running loop, once; again if it ever died."""
    global _beating  # noqa: PLW0603  one clock per process
    if _beating is None or _beating.done():
        _beating = asyncio.get_running_loop().create_task(_beat(), name="heart")


async def _beat() -> None:
    confirmed = 0.0
    while True:
        try:
            if time.monotonic() - confirmed >= CONFIRM_SECONDS:
                confirmed = time.monotonic()
                await HOT.run(0, _confirm, list(LIVE))
                await _end_what_is_over()
                await _say_what_is_wanted()
            await HOT.run(0, _sweep)
            await _say_unheard()
            await _say_endpoints()
        except Exception:  # the database may be away for a while; the beat goes on and the work is found later
            logger.exception("sweep failed")
        await asyncio.sleep(settings.SWEEP_SECONDS)


async def _say_unheard() -> None:
    """Make the sockets look whose hint was lost, or a hub without Redis would assign what no agent hears of."""
    for connection in await HOT.run(0, _unheard):
        await _make_look(connection)


async def _say_endpoints() -> None:
    """Make every socket look when operators' endpoints, or the restarts that are asked for, are not what they were."""
    if await HOT.run(0, _have_changed):
        for connection in list(LIVE):
            await _make_look(connection)


async def _end_what_is_over() -> None:
    """Make the sockets look that may speak no more: their token has expired, or the hint of its end was lost."""
    held = {connection: socket.token for connection, socket in LIVE.items()}
    for connection in await HOT.run(0, _over, held):
        await _make_look(connection)


async def _say_what_is_wanted() -> None:
    """Make the sockets look whose agents know something else than what the operator wants: the hint was lost."""
    knows = {connection: socket.told.desired for connection, socket in LIVE.items()}
    for connection in await HOT.run(0, _misled, knows):
        await _make_look(connection)


async def _make_look(connection: str) -> None:
    if socket := LIVE.get(connection):
        try:
            await socket.look()
        except Exception:  # this socket is closing; the others still want to hear
            logger.warning("a socket could not be told", connection=connection, exc_info=True)


def _over(held: dict[str, int]) -> list[str]:
    """Those of the connections (with the ids of their tokens) whose token has ended, or that are nobody's voice."""
    live = set(Token.objects.live().filter(pk__in=held.values()).values_list("pk", flat=True))
    voices = set(Agent.objects.filter(connection__in=held, retired_at=None).values_list("connection", flat=True))
    return [connection for connection, token in held.items() if token not in live or connection not in voices]


def _misled(knows: dict[str, AgentDesired]) -> list[str]:
    """Those of the connections (with what each was told last) whose operator wants something else."""
    wanted = Agent.objects.filter(connection__in=knows).values_list("connection", *WISHES)
    return [connection for connection, *wishes in wanted if connection and desired_of(wishes) != knows[connection]]


def _unheard() -> list[str]:
    """Connections whose agents were given work that they have not accepted."""
    waiting = Attempt.objects.open().filter(accepted_at__isnull=True)
    return [connection for connection in waiting.values_list("agent__connection", flat=True) if connection]


def _have_changed() -> bool:
    before = known.current(), restarts.current()
    return (known.refresh(), restarts.refresh()) != before


def _sweep() -> None:
    sweep(door_open=hold_door_open())


def _confirm(connections: list[str]) -> None:
    presence.seen(connections)
    for name in process.this().dead():
        presence.forget_all_of(name)
        process.this().buried(name)
    presence.forget_the_vanished()
