"""Who may fetch and push what: the agents' git, bound to tokens, repositories and open attempts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.agents.models import Agent
from apps.agents.tokens import authenticate
from apps.events.lanes import HOT
from apps.gateway.git_http import GitHttp, Moves
from apps.repos.admission import BRANCH_PREFIX, SALVAGE_PREFIX, ZERO
from apps.repos.models import Repo
from apps.tasks import attempts
from apps.tasks.models import Attempt

SALVAGEABLE = 50
"""How many of its latest attempts an agent may still save something of."""


async def _authenticate(headers: Mapping[str, str]) -> Agent | None:
    return await HOT.run(None, _agent_of, headers.get("authorization", ""))


def _agent_of(header: str) -> Agent | None:
    """A token works as Bearer, which sidecars use, and as the password of Basic, which git asks a person for."""
    kind, _, value = header.partition(" ")
    secret = value.strip()
    if kind.lower() == "basic":
        try:
            secret = base64.b64decode(secret, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    elif kind.lower() != "bearer":
        return None
    token = authenticate(secret)
    return token.agent if token is not None else None


async def _locate(agent: Agent, slug: str) -> Path | None:
    return await HOT.run(agent.pk, _mirror_for, agent, slug)


def _mirror_for(agent: Agent, slug: str) -> Path | None:
    repo = Repo.objects.filter(slug=slug).first()
    if repo is None or (agent.restricted and not agent.repos.filter(pk=repo.pk).exists()):
        return None
    return repo.mirror


async def _admit(agent: Agent, slug: str) -> Mapping[str, Any]:
    return await HOT.run(agent.pk, admission, agent, slug)


def admission(agent: Agent, slug: str) -> Mapping[str, Any]:
    """The branch of the agent's open attempt, and the salvage refs of its latest ones; nothing else."""
    mine = Attempt.objects.filter(agent=agent, repo__slug=slug)
    branches = mine.open().exclude(branch="").values_list("branch", flat=True)
    latest = mine.order_by("-pk").values_list("pk", flat=True)[:SALVAGEABLE]
    allow: dict[str, dict[str, str]] = {f"refs/heads/{branch}": {} for branch in branches}
    allow |= {f"{SALVAGE_PREFIX}{pk}": {} for pk in latest}
    return {
        "agent": agent.name,
        "allow": {ref: {} for ref in allow if ref.startswith((BRANCH_PREFIX, SALVAGE_PREFIX))},
        "max_file_bytes": settings.MAX_FILE_BYTES,
        "max_files": settings.MAX_PUSH_FILES,
        "max_pack_bytes": settings.MAX_PUSH_BYTES,
    }


async def _received(agent: Agent, _: str, moves: Moves) -> None:
    await HOT.run(agent.pk, note_salvage, agent, moves)


def note_salvage(agent: Agent, moves: Moves) -> None:
    """Remember what was saved of an ended attempt, so that its task's page can offer it."""
    for ref, (_, new) in moves.items():
        if ref.startswith(SALVAGE_PREFIX) and new != ZERO:
            pk = int(ref.removeprefix(SALVAGE_PREFIX))
            for attempt in Attempt.objects.filter(pk=pk, agent=agent).select_related("task"):
                attempts.salvaged(attempt, ref, new)


git_door = GitHttp(_authenticate, _locate, _admit, _received)
