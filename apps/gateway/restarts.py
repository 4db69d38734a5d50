"""Which agents are asked to restart which endpoints: read once for all sockets of a process, and again and again."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from apps.agents.models import Agent
from apps.endpoints import restarting
from sidecar.wire import messages


@dataclass(frozen=True)
class Asking:
    """One agent that may be asked for one restart."""

    agent: int
    name: str
    restart: int
    url: str


_current: tuple[Asking, ...] | None = None


def current() -> tuple[Asking, ...]:
    """As it was when it was last read."""
    return refresh() if _current is None else _current


def refresh() -> tuple[Asking, ...]:
    """Read it anew."""
    global _current  # noqa: PLW0603  one for all sockets of a process
    _current = _read()
    return _current


def take(agent: int, told: Set[int]) -> tuple[list[messages.Frame], set[int]]:
    """Write down that this agent does what nobody else does yet: what to tell it, and what it was told of then.

    `told` is what it was told of on its connection. What it has taken stays its own, so twice is once.
    """
    asking = current()
    mine = [one for one in asking if one.agent == agent and one.restart not in told]
    taken = [one for one in mine if restarting.take(one.restart, by=one.name)]
    known = {one.restart for one in asking if one.restart in told} | {one.restart for one in mine}
    return [messages.EndpointRestart(restart=one.restart, url=one.url) for one in taken], known


def _read() -> tuple[Asking, ...]:
    wishes = restarting.wishes()
    names = {name for wish in wishes for name, _ in wish.agents}
    agents = dict(Agent.objects.filter(name__in=names).values_list("name", "pk")) if names else {}
    return tuple(
        Asking(agents[name], name, wish.restart, url) for wish in wishes for name, url in wish.agents if name in agents
    )
