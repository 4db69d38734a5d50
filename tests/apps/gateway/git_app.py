"""The application that the tests of git over HTTP serve: `GitHttp` with agents and grants read from one JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.events.refused import Refused
from apps.gateway.git_http import GitHttp, Headers, Moves, token_from

ROOT = Path(os.environ["GIT_APP_ROOT"])


@dataclass(frozen=True)
class Agent:
    name: str


def world() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "world.json").read_text())
    return found


async def authenticate(headers: Headers) -> Agent | None:
    name = world()["tokens"].get(token_from(headers) or "")
    return Agent(name) if name else None


async def locate(agent: Agent, slug: str) -> Path | None:
    return ROOT / "repos" / f"{slug}.git" if slug in world()["repos"].get(agent.name, []) else None


async def admit(agent: Agent, slug: str) -> Mapping[str, Any]:
    grants = world()["grants"].get(agent.name)
    if grants is None:
        raise Refused("agent_disabled", f"{agent.name} is disabled.")
    return {"agent": agent.name, **grants}


async def received(agent: Agent, slug: str, moved: Moves) -> None:
    with (ROOT / "received.jsonl").open("a") as file:
        file.write(json.dumps([agent.name, slug, moved]) + "\n")


application = GitHttp(authenticate, locate, admit, received, deadline=float(os.environ.get("GIT_APP_DEADLINE", "60")))
