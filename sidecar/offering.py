"""Which models can be had right now: local endpoints are looked at again and again, and the hub hears what changed.

One miss says nothing: an endpoint counts as gone after two in a row, and as back after one answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from sidecar.agent.faults import ModelFault
from sidecar.agent.models.ollama import Ollama, Timeouts
from sidecar.config import Thinker
from sidecar.wire.nouns import ModelOffer

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0
MISSES = 2
QUICK = Timeouts(connect=3.0, question=5.0)


class Offering:
    """What this agent offers, kept up to date. `all` are the offers when everything answers."""

    def __init__(self, thinkers: Sequence[Thinker], all_offers: Sequence[ModelOffer]) -> None:
        self._local = sorted({thinker.url for thinker in thinkers if thinker.executor == "ollama"})
        self._place = {(str(t.executor), t.model): t.url for t in thinkers if t.executor == "ollama"}
        self._all = list(all_offers)
        self._misses = dict.fromkeys(self._local, 0)
        self._loaded: dict[str, frozenset[str]] = {}

    def now(self) -> list[ModelOffer]:
        """The offers whose endpoints answer, each with whether its model is loaded."""
        return [
            offer.model_copy(update={"warm": offer.model in self._loaded.get(self._url(offer), frozenset())})
            for offer in self._all
            if self._misses.get(self._url(offer), 0) < MISSES
        ]

    async def watch(self, changed: Callable[[list[ModelOffer]], None]) -> None:
        """Look for ever; tell whenever what can be had is not what it was."""
        told = self.now()
        while self._local:
            await asyncio.gather(*(self._look(url) for url in self._local))
            if (now := self.now()) != told:
                told = now
                changed(now)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, url: str) -> None:
        server = Ollama(url=url, model="", context=2_048, timeouts=QUICK)
        try:
            self._loaded[url] = frozenset(model.name for model in await server.running())
            if self._misses[url] >= MISSES:
                logger.info("the endpoint is back", url=url)
            self._misses[url] = 0
        except ModelFault as fault:
            self._misses[url] += 1
            if self._misses[url] == MISSES:
                self._loaded.pop(url, None)
                logger.warning("the endpoint is gone", url=url, code=fault.code, message=fault.message[:300])
        finally:
            await server.close()

    def _url(self, offer: ModelOffer) -> str:
        return self._place.get((offer.executor, offer.model), "")
