"""What the clock, and a new endpoint, have run for this room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from apps.endpoints import ollama, reports, restarting
from apps.endpoints.models import Endpoint, Model

logger = structlog.get_logger(__name__)
Answer = ollama.Looked | ollama.NoAnswer


def look_at_all() -> None:
    """See which answer, all at once: one that is slow holds up no other, and no other job for longer than itself.

    And end the wishes for restarts that nobody has answered.
    """
    restarting.lapse()
    _look(list(Endpoint.objects.ours()))


def look(*endpoints: int) -> None:
    """See whether one answers, and what it has; of several all at once. Never of one that an agent named."""
    _look(list(Endpoint.objects.ours().filter(pk__in=endpoints)))


def _look(endpoints: Sequence[Endpoint]) -> None:
    known = [_known(endpoint) for endpoint in endpoints]
    for endpoint, answer in zip(endpoints, asyncio.run(_ask(endpoints, known)), strict=True):
        if isinstance(answer, ollama.Looked):
            reports.looked(endpoint, answer)
        else:
            logger.warning("an endpoint does not answer", endpoint=endpoint.pk, url=endpoint.url, reason=str(answer))
            reports.looked(endpoint, None, str(answer))


async def _ask(endpoints: Sequence[Endpoint], known: Sequence[Sequence[ollama.Seen]]) -> list[Answer]:
    return await asyncio.gather(*(_one(endpoint.url, seen) for endpoint, seen in zip(endpoints, known, strict=True)))


async def _one(url: str, known: Sequence[ollama.Seen]) -> Answer:
    try:
        return await ollama.look(url, known=known)
    except ollama.NoAnswer as silent:
        return silent


def _known(endpoint: Endpoint) -> list[ollama.Seen]:
    rows = Model.objects.filter(endpoint=endpoint, installed=True).exclude(digest="")
    return [ollama.Seen(row.name, row.digest, row.context, tuple(row.capabilities)) for row in rows]
