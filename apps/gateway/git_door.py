"""Who may fetch and push what: tokens, repositories and open attempts.

Agents fetch the repositories they may work in and push the branch of their open attempt. People fetch with a token that
may read repositories, to look at a branch, at what was verified, or at what was salvaged; they push nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.agents.models import Agent
from apps.agents.scopes import scopes_of
from apps.agents.tokens import authenticate
from apps.events.lanes import HOT
from apps.events.refused import Refused
from apps.gateway.git_http import GitHttp, Moves, token_from
from apps.repos.admission import BRANCH_PREFIX, SALVAGE_PREFIX, ZERO
from apps.repos.models import Repo
from apps.tasks import attempts
from apps.tasks.models import Attempt

SALVAGEABLE = 50
"""How many of its latest attempts an agent may still save something of."""


@dataclass(frozen=True)
class Caller:
    """Whoever holds the token: an agent, or a person's program that may read."""

    name: str
    agent: Agent | None = None

    @property
    def lane(self) -> int | None:
        return self.agent.pk if self.agent is not None else None


async def _authenticate(headers: Mapping[str, str]) -> Caller | None:
    secret = token_from(headers)
    return await HOT.run(None, caller, secret) if secret else None


def caller(secret: str) -> Caller | None:
    """The holder of a live token that has any business with git."""
    token = authenticate(secret)
    if token is None:
        return None
    if token.agent is not None:
        return Caller(token.agent.name, token.agent)
    if "repos:read" in scopes_of(token.role, token.scopes):
        return Caller(token.masked)
    return None


async def _locate(who: Caller, slug: str) -> Path | None:
    return await HOT.run(who.lane, _mirror_for, who, slug)


def _mirror_for(who: Caller, slug: str) -> Path | None:
    repo = Repo.objects.filter(slug=slug).first()
    if repo is None:
        return None
    if who.agent is not None and who.agent.restricted and not who.agent.repos.filter(pk=repo.pk).exists():
        return None
    return repo.mirror


async def _admit(who: Caller, slug: str) -> Mapping[str, Any]:
    if who.agent is None:
        raise Refused("read_only", "only an agent pushes here; people merge on the pull request's page.")
    return await HOT.run(who.lane, admission, who.agent, slug)


def admission(agent: Agent, slug: str) -> Mapping[str, Any]:
    """The branch of the agent's open attempt, and the salvage refs of its latest ones; nothing else."""
    mine = Attempt.objects.filter(agent=agent, repo__slug=slug)
    branches = mine.open().exclude(branch="").values_list("branch", flat=True)
    latest = mine.order_by("-pk").values_list("pk", flat=True)[:SALVAGEABLE]
    wanted = [f"refs/heads/{branch}" for branch in branches] + [f"{SALVAGE_PREFIX}{pk}" for pk in latest]
    return {
        "agent": agent.name,
        "allow": {ref: {} for ref in wanted if ref.startswith((BRANCH_PREFIX, SALVAGE_PREFIX))},
        "max_file_bytes": settings.MAX_FILE_BYTES,
        "max_files": settings.MAX_PUSH_FILES,
        "max_pack_bytes": settings.MAX_PUSH_BYTES,
    }


async def _received(who: Caller, _: str, moves: Moves) -> None:
    if who.agent is not None:
        await HOT.run(who.lane, note_salvage, who.agent, moves)


def note_salvage(agent: Agent, moves: Moves) -> None:
    """Remember what was saved of an ended attempt, so that its task's page can offer it."""
    for ref, (_, new) in moves.items():
        if ref.startswith(SALVAGE_PREFIX) and new != ZERO:
            pk = int(ref.removeprefix(SALVAGE_PREFIX))
            for attempt in Attempt.objects.filter(pk=pk, agent=agent).select_related("task"):
                attempts.salvaged(attempt, ref, new)


git_door = GitHttp(_authenticate, _locate, _admit, _received)
