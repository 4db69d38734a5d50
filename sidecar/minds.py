"""The models that this agent may use, made out of its settings: executors by name, and what the hub is told of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

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


def executors(thinkers: Sequence[Thinker], commands: Sequence[AgentCommand] = ()) -> Mapping[str, Executor]:
    """The executors of an agent: those that every machine has, one for each kind of endpoint, one for its commands."""
    by_kind: dict[str, dict[str, Mind]] = defaultdict(dict)
    for thinker in thinkers:
        by_kind[thinker.executor][thinker.model] = mind(thinker)
    thinking = {kind: Thinking(kind, minds) for kind, minds in by_kind.items()}
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
    by_command = [ModelOffer(executor=Command.name, model=one.name, grade=one.grade) for one in commands]
    by_model = [
        ModelOffer(
            executor=thinker.executor,
            model=thinker.model,
            grade=thinker.grade,
            context=thinker.context,
            dialect=thinker.dialect,
            digest=thinker.digest,
            tokens_per_second=thinker.tokens_per_second,
        )
        for thinker in thinkers
    ]
    return by_model + by_command


def mind(thinker: Thinker) -> Mind:
    """One model, ready to be asked."""
    local = thinker.executor == "ollama"
    both: list[Dialect] = [Native(), Fenced()] if thinker.dialect == "native" else [Fenced(), Native()]
    manner = Manner(
        dialects=both if local else both[:1],
        answer_tokens=min(thinker.answer_tokens, thinker.context // 4),
        temperature=thinker.temperature if thinker.temperature is not None or not local else WARMEST,
    )
    return Mind(name=thinker.model, connect=lambda: model(thinker), manner=manner)


def model(thinker: Thinker) -> Model:
    """A client for one model; it holds connections until it is closed."""
    if thinker.executor == "claude":
        return Claude(model=thinker.model, api_key=thinker.key, base_url=thinker.url, context=thinker.context)
    return Ollama(url=thinker.url, model=thinker.model, context=thinker.context, think=thinker.think)
