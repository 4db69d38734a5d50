"""Which models can be had right now: endpoints are looked at again and again, and the hub hears what changed.

One miss says nothing: an endpoint counts as gone after two in a row, and as back after one answer. A local endpoint is
looked at all the time, and one that the hub tells of; Claude only when it has let an attempt down, until it answers.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import structlog

from sidecar import discover, minds
from sidecar.agent.faults import Garbled, ModelFault, ServerTooOld
from sidecar.agent.models.claude import Claude
from sidecar.agent.models.ollama import Ollama, Timeouts
from sidecar.config import OFFERS, Thinker
from sidecar.minds import Minds
from sidecar.trialbook import Key, TrialBook, Verdict, key
from sidecar.wire.nouns import EndpointState, KnownEndpoint, KnownModel, ModelOffer, Unfit

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0
TRY_AGAIN_SECONDS = 300.0
"""After an endpoint failed in the middle of a trial."""
SPREAD_SECONDS = 30.0
"""All agents hear of a new model at the same moment; within this time each takes its turn to try it."""
MISSES = 2
QUICK = Timeouts(connect=3.0, question=5.0)

Told = tuple[list[ModelOffer], list[EndpointState]]
"""What the hub is told: the models that can be had, and how the endpoints are."""


@dataclass
class _Server:
    """One endpoint, as it was last seen. `suspect` is one that is looked at although nobody looks at its kind."""

    kind: str
    url: str
    health: Literal["unknown", "up", "down"] = "unknown"
    misses: int = 0
    version: str = ""
    trouble: str = ""
    loaded: frozenset[str] = field(default=frozenset())
    suspect: bool = False
    client: Ollama | None = None

    @property
    def state(self) -> EndpointState:
        return EndpointState(
            kind=self.kind, url=self.url, health=self.health, version=self.version, trouble=self.trouble
        )

    @property
    def lends(self) -> bool:
        """Whether its models can be used: those of one that answers, but is too old, cannot."""
        return self.health == "up" and not self.trouble

    def answered(self, loaded: frozenset[str] = frozenset()) -> None:
        if self.health == "down":
            logger.info("the endpoint is back", url=self.url)
        self.health, self.misses, self.trouble, self.suspect, self.loaded = "up", 0, "", False, loaded

    def ollama(self) -> Ollama:
        """The client that looks at it, kept until `close`: making one holds up the event loop. ValueError as there."""
        self.client = self.client or Ollama(url=self.url, model="", context=2_048, timeouts=QUICK)
        return self.client

    async def close(self) -> None:
        """Give its connections back."""
        client, self.client = self.client, None
        if client is not None:
            await client.close()

    def missed(self, fault: ModelFault) -> None:
        self.misses += 1
        if self.misses == MISSES:
            self.health, self.trouble, self.loaded = "down", _said(fault), frozenset()
            logger.warning("the endpoint is gone", url=self.url, code=fault.code, message=fault.message[:300])


def _said(fault: ModelFault) -> str:
    """What the hub is told of it."""
    return f"{fault.code}: {fault.message}"[:500]


def _hesitate() -> float:
    return random.uniform(0, SPREAD_SECONDS)  # noqa: S311  to be apart, not to be secret


class Offering:
    """What this agent offers, kept up to date. `commands` are offers that depend on no endpoint."""

    def __init__(
        self,
        found: Minds,
        commands: Sequence[ModelOffer] = (),
        trials: TrialBook | None = None,
        *,
        hesitate: Callable[[], float] = _hesitate,
    ) -> None:
        """Without `trials` to ask and to fill, nothing that the hub tells of is used.

        `hesitate` is how many seconds to wait before a trial that another agent may be about to make.
        """
        self._minds = found
        self._commands = list(commands)
        self._trials = trials
        self._known: Sequence[KnownEndpoint] = ()
        self._own = {(str(one.executor), one.url): _Server(str(one.executor), one.url) for one in found.own}
        self._hubs: dict[tuple[str, str], _Server] = {}
        self._hesitate = hesitate
        self._gone: list[_Server] = []
        self._turns: dict[Key, float] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        self._woken = asyncio.Event()

    def now(self) -> list[ModelOffer]:
        """The models whose endpoints answer, each with whether it is loaded."""
        own = [one for one in self._minds.own if self._server(one).health != "down"]
        lent = [one for one in self._minds.borrowed if self._server(one).lends]
        offers = [*map(self._offer, own), *self._commands, *map(self._offer, lent)]
        return offers[:OFFERS]

    def states(self) -> list[EndpointState]:
        """The endpoints of this machine's own settings, and the hub's, with those of their models that are no good."""
        own = [server.state for server in self._own.values()]
        hubs = [self._state_of(endpoint) for endpoint in self._known]
        return [*own, *hubs][:OFFERS]

    def _state_of(self, endpoint: KnownEndpoint) -> EndpointState:
        tried = [(model, self._trials.of(endpoint, model)) for model in endpoint.models] if self._trials else []
        unfit = [
            Unfit(model=model.name, digest=model.digest, reason=verdict.reason[:500])
            for model, verdict in tried
            if verdict and not verdict.thinker
        ]
        return self._hubs[endpoint.kind, endpoint.url].state.model_copy(update={"own": False, "unfit": unfit})

    def know(self, endpoints: Sequence[KnownEndpoint]) -> None:
        """What the hub tells of, in place of what it told of before. An endpoint of our own settings stays ours."""
        if self._trials is None:
            return
        self._known = [one for one in endpoints if one.kind == "ollama" and (one.kind, one.url) not in self._own]
        places = [(one.kind, one.url) for one in self._known]
        before, self._hubs = self._hubs, {place: self._hubs.get(place) or _Server(*place) for place in places}
        self._gone += [server for place, server in before.items() if place not in self._hubs]
        told = {key(endpoint, model) for endpoint in self._known for model in endpoint.models}
        self._trials.keep_refusals_of(told)
        self._turns = {one: turn for one, turn in self._turns.items() if one in told}
        self._borrow()
        self._woken.set()

    def suspect(self, kind: str, url: str) -> None:
        """An attempt was let down there: look whether it is gone."""
        for server in self._own.values():
            if server.kind == kind and url in {"", server.url}:
                server.suspect = True
                self._woken.set()

    def look_soon(self) -> None:
        """Something has changed here: do not wait for the next turn."""
        self._woken.set()

    async def watch(self, changed: Callable[[list[ModelOffer], list[EndpointState]], None]) -> None:
        """Look for ever; tell whenever what can be had, or where, is not what it was."""
        try:
            await self._watch(changed)
        finally:
            self._gone += [*self._own.values(), *self._hubs.values()]
            await self._close()

    async def _watch(self, changed: Callable[[list[ModelOffer], list[EndpointState]], None]) -> None:
        told: Told = (self.now(), self.states())
        async with asyncio.TaskGroup() as group:
            trying: asyncio.Task[None] | None = None
            while True:
                await asyncio.gather(*(self._look(server) for server in self._due()))
                await self._close()
                if trying is None or trying.done():
                    trying = group.create_task(self._try(), name="trials")
                if (now := (self.now(), self.states())) != told:
                    told = now
                    changed(*now)
                await self._rest()

    async def _close(self) -> None:
        """Done with endpoints that the hub tells of no more; never in the middle of a look."""
        while self._gone:
            await self._gone.pop().close()

    async def _rest(self) -> None:
        """Until it is time to look again. With nothing to look at, until there is."""
        self._woken.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), LOOK_SECONDS if self._due() else None)

    def _due(self) -> list[_Server]:
        own = [one for one in self._own.values() if one.kind == "ollama" or one.suspect]
        return [*own, *self._hubs.values()]

    async def _look(self, server: _Server) -> None:
        try:
            await (self._look_at_claude(server) if server.kind == "claude" else self._look_at_ollama(server))
        except ModelFault as fault:
            server.missed(fault)
        except Exception as problem:  # an address that is none, an answer nobody thought of: not the daemon's end
            logger.debug("an endpoint cannot be looked at", url=server.url, exc_info=True)
            server.missed(Garbled(f"{type(problem).__name__}: {problem}"))

    async def _look_at_ollama(self, server: _Server) -> None:
        client = server.ollama()
        try:
            server.version = (await client.version())[:64]  # each time: it may have been renewed
            server.answered(frozenset(model.name for model in await client.running()))
            discover.accept(server.version)
        except ServerTooOld as old:
            server.trouble = _said(old)

    async def _look_at_claude(self, server: _Server) -> None:
        thinker = next(one for one in self._minds.own if (one.executor, one.url) == (server.kind, server.url))
        client = Claude(model=thinker.model, api_key=thinker.key, base_url=thinker.url, context=thinker.context)
        try:
            await client.look()
            server.answered()
        finally:
            await client.close()

    async def _try(self) -> None:
        """Try what the hub tells of and nobody has tried, one after the other; each is offered as it passes."""
        if self._trials is None:
            return
        while untried := self._untried(self._trials):  # again after each: others may have found out meanwhile
            await self._try_one(self._trials, *untried[0])

    def _untried(self, trials: TrialBook) -> list[tuple[KnownEndpoint, KnownModel]]:
        """What may be tried now, first what takes no trial. What others found unfit is theirs to say, so it is left."""
        found = [
            (endpoint, model)
            for endpoint in self._known
            if self._hubs[endpoint.kind, endpoint.url].lends
            for model in endpoint.models
            if trials.of(endpoint, model) is None and (model.dialect or not model.unfit)
            if self._is_our_turn(endpoint, model)
        ]
        return sorted(found, key=lambda one: not one[1].dialect)

    def _is_our_turn(self, endpoint: KnownEndpoint, model: KnownModel) -> bool:
        now = time.monotonic()
        if now < self._not_before.get((endpoint.url, model.name), 0.0):
            return False
        if model.dialect:
            return True
        return now >= self._turns.setdefault(key(endpoint, model), now + self._hesitate())

    async def _try_one(self, trials: TrialBook, endpoint: KnownEndpoint, model: KnownModel) -> None:
        if verdict := await self._verdict(endpoint, model):
            trials.keep(endpoint, model, verdict)
            self._borrow()
            self._woken.set()
        else:
            self._not_before[endpoint.url, model.name] = time.monotonic() + TRY_AGAIN_SECONDS

    async def _verdict(self, endpoint: KnownEndpoint, model: KnownModel) -> Verdict | None:
        """What comes of a trial; None when it says nothing of the model."""
        log = logger.bind(url=endpoint.url, model=model.name)
        try:
            verdict = Verdict(thinker=await discover.borrowed(endpoint, model))
            log.info("a model of the hub's is offered")
            return verdict
        except discover.Unfit as unfit:
            log.warning("a model of the hub's is not offered", reason=str(unfit))
            return Verdict(reason=str(unfit))
        except ModelFault as fault:
            log.warning("a model could not be tried", reason=fault.message[:300])
        except Exception:  # an answer that nobody thought of must not be the daemon's end, again after each restart
            log.exception("a trial broke")
        return None

    def _borrow(self) -> None:
        """Use what passed here, of what the hub still tells of, by the grade that the hub gives it now."""
        if self._trials is None:
            return
        found = [
            verdict.thinker.model_copy(update={"grade": endpoint.grade})
            for endpoint in self._known
            for model in endpoint.models
            if (verdict := self._trials.of(endpoint, model)) and verdict.thinker
        ]
        self._minds.borrow(found)

    def _server(self, thinker: Thinker) -> _Server:
        place = (str(thinker.executor), thinker.url)
        return self._own.get(place) or self._hubs.get(place, _NOWHERE)

    def _offer(self, thinker: Thinker) -> ModelOffer:
        return minds.offer(thinker).model_copy(update={"warm": thinker.model in self._server(thinker).loaded})


_NOWHERE = _Server("", "")
