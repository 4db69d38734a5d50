"""Who thinks in the demonstration: the Ollama of this machine, if it holds a model that can work, else a player."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from apps.demo.ground import PLAYER
from apps.demo.loopback import listening
from apps.demo.ollama import NAME, OllamaServer
from apps.demo.player import play
from sidecar.discover import local_models

PLAYED = "a scripted player on Ollama's wire, no model; it reads what it is shown and knows these tasks only"


@dataclass(frozen=True)
class Thinker:
    """Where both machines find a model, which one, and a sentence that says so to whoever watches."""

    url: str
    model: str
    sentence: str


@asynccontextmanager
async def thinker(*, played: bool) -> AsyncIterator[Thinker]:
    """The first model here that passes its trial; the player when there is none, or when `played` asks for it."""
    if not played and (found := await local_models(lambda _line: None)):
        yield Thinker(found[0].url, found[0].model, f"What is in words goes to {found[0].model} at {found[0].url}.")
        return
    async with listening(OllamaServer(player=play), int(os.environ.get(PLAYER, "0"))) as server:
        yield Thinker(server.url, NAME, f"What is in words goes to {PLAYED}.")
