"""The models that this agent may use, made out of its settings: executors by name, and what the hub is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from sidecar.agent.asking import Manner
from sidecar.agent.dialects.base import Dialect
from sidecar.agent.dialects.fenced import Fenced
from sidecar.agent.dialects.native import Native
from sidecar.agent.models.base import Model
from sidecar.agent.models.claude import Claude
from sidecar.agent.models.ollama import Ollama
from sidecar.config import AgentCommand, Thinker
from sidecar.executors import EXECUTORS, Executor
from sidecar.executors.acp import Talking
from sidecar.executors.command import Command, NotReady, Run, check
from sidecar.executors.model import Mind, Thinking
from sidecar.sandbox import Level, Policy
from sidecar.wire.nouns import ModelOffer

logger = structlog.get_logger(__name__)

WARMEST = 0.4
"""Local models are asked with this temperature unless their settings say otherwise; it sinks when they go wrong."""


FORMER = 500
"""As many models of the hub's endpoints stay known after they are not offered any more."""


class Minds:
    """The models that may be used now: this machine's own, and those it borrows of the endpoints of its hub."""

    def __init__(self, own: Sequence[Thinker], *, borrows: bool = False) -> None:
        """`borrows` is whether this machine may use an endpoint that is not in its own settings."""
        self.own = tuple(own)
        self.borrowed: tuple[Thinker, ...] = ()
        self.borrows = borrows
        self._lent: dict[tuple[str, str, str], Thinker] = {}

    def borrow(self, thinkers: Sequence[Thinker]) -> None:
        """Use these of the hub's endpoints, in place of those before. Attempts that name one of those still find it.

        An attempt looks for its model again before each of its runs, and may just have been sent: what the hub takes
        away is not offered any more, so that no other attempt comes to it.
        """
        self.borrowed = tuple(thinkers)
        for thinker in thinkers:
            place = str(thinker.executor), thinker.model, thinker.url
            self._lent.pop(place, None)
            self._lent[place] = thinker
        for old in list(self._lent)[:-FORMER]:
            del self._lent[old]

    @property
    def kinds(self) -> set[str]:
        """The kinds of endpoints that there are, or may be."""
        return {str(thinker.executor) for thinker in self.own} | ({"ollama"} if self.borrows else set())

    def find(self, kind: str, model: str, url: str) -> Mind | None:
        """The model of this name; of that very endpoint, when its `url` is given. Its own settings go first."""
        for thinker in (*self.own, *self.borrowed):
            if (thinker.executor, thinker.model) == (kind, model) and url in {"", thinker.url}:
                return mind(thinker, borrowed=thinker not in self.own)
        former = self._lent.get((kind, model, url))
        return mind(former, borrowed=True) if former else None


def executors(thinkers: Sequence[Thinker], commands: Sequence[AgentCommand] = ()) -> Mapping[str, Executor]:
    """The executors of an agent that only ever uses these models and commands."""
    return equip(Minds(thinkers), commands)


def equip(minds: Minds, commands: Sequence[AgentCommand] = ()) -> Mapping[str, Executor]:
    """The executors of an agent: those that every machine has, one for each kind of endpoint, one for its commands."""
    thinking = {kind: Thinking(kind, partial(minds.find, kind)) for kind in minds.kinds}
    command = Command(commands, ways={"files": Run, "acp": Talking})
    return {**EXECUTORS, **thinking, **({Command.name: command} if commands else {})}


def usable(commands: Sequence[AgentCommand], policy: Policy) -> list[AgentCommand]:
    """Those commands that can be started here; the log says of the others what they lack."""
    found = []
    for command in commands:
        try:
            check(command, policy)
            found.append(command)
        except NotReady as lack:
            logger.warning("a command is not offered", command=command.name, reason=str(lack))
    return found


def in_words(level: Level, commands: Sequence[AgentCommand]) -> str:
    """How commands are confined, for people: what holds here, and which commands the network is shared with."""
    shared = [command.name for command in commands if command.network]
    return f"{level.reason} The network is shared with: {', '.join(shared)}." if shared else level.reason


def offers(thinkers: Sequence[Thinker], commands: Sequence[AgentCommand] = ()) -> list[ModelOffer]:
    """What the hub is told of these models, and of the commands that can do a model's work."""
    return [*map(offer, thinkers), *map(command_offer, commands)]


def command_offer(command: AgentCommand) -> ModelOffer:
    """What the hub is told of a command that can do a model's work."""
    return ModelOffer(executor=Command.name, model=command.name, grade=command.grade)


def offer(thinker: Thinker) -> ModelOffer:
    """What the hub is told of one model."""
    return ModelOffer(
        executor=thinker.executor,
        model=thinker.model,
        grade=thinker.grade,
        context=thinker.context,
        dialect=thinker.dialect,
        digest=thinker.digest,
        tokens_per_second=thinker.tokens_per_second,
        url=thinker.url,
        trials=thinker.trials,
        context_measured=thinker.context_measured,
    )


def mind(thinker: Thinker, *, borrowed: bool = False) -> Mind:
    """One model, ready to be asked; `borrowed` when its endpoint is the hub's."""
    local = thinker.executor == "ollama"
    both: list[Dialect] = [Native(), Fenced()] if thinker.dialect == "native" else [Fenced(), Native()]
    manner = Manner(
        dialects=both if local else both[:1],
        answer_tokens=min(thinker.answer_tokens, thinker.context // 4),
        temperature=thinker.temperature if thinker.temperature is not None or not local else WARMEST,
    )
    return Mind(name=thinker.model, connect=lambda: model(thinker), manner=manner, borrowed=borrowed)


def model(thinker: Thinker) -> Model:
    """A client for one model; it holds connections until it is closed."""
    if thinker.executor == "claude":
        return Claude(model=thinker.model, api_key=thinker.key, base_url=thinker.url, context=thinker.context)
    return Ollama(url=thinker.url, model=thinker.model, context=thinker.context, think=thinker.think)
