"""How the hub itself thinks: one question to a model, paid from the budget of the state that the hub is in.

What a call can cost at most is reserved in a transaction of its own before it is sent, and what came of it is posted
after: so no call is made inside a transaction, and one whose process was killed is posted at its estimate.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.endpoints.choosing import CLAUDE, Candidate, Thinker, choose
from apps.endpoints.health import Health
from apps.endpoints.models import THINKING, Endpoint, Model, Origin
from apps.endpoints.rules import rule_of
from apps.endpoints.said import Said, ThinkingFailed
from apps.endpoints.sizes import tokens
from apps.events.refused import Refused
from apps.ledger import accounts, actions
from apps.ledger.accounts import Exhausted
from apps.ledger.actions import CallTaken
from apps.ledger.models import Charge
from apps.ledger.pricing import Estimate

__all__ = ["Answer", "NoThinker", "Question", "Thinker", "ThinkingFailed", "ask", "thinker"]

logger = structlog.get_logger(__name__)
MARGIN = 128
"""Tokens that a model's template puts around a prompt, and the words with which a schema is introduced."""
AFTERWARDS = timedelta(minutes=1)
"""Beyond the deadline of a call its process has so long to post what came of it."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, what for, and which state of the hub pays. `schema` is a JSON schema of the answer.

    `call_id` is of this one call: another try is another call. `max_output` in tokens. `own`: it is for what the hub
    wants of itself, which has a share of its own.
    """

    purpose: str
    state: str
    system: str
    prompt: str
    call_id: str
    schema: Mapping[str, Any] | None = None
    scopes: Mapping[str, str] = field(default_factory=dict)
    max_output: int = 2_048
    own: bool = False

    @property
    def estimate(self) -> Estimate:
        """The most that it may take."""
        schema = tokens(json.dumps(self.schema)) if self.schema is not None else 0
        asked = tokens(self.system) + tokens(self.prompt) + schema
        return Estimate(prompt=asked + MARGIN, output=self.max_output)


@dataclass(frozen=True)
class Answer:
    """What was said, without the model's thoughts, by whom, and what it took: tokens, and micro-USD."""

    text: str
    model: str
    grade: str
    prompt_tokens: int
    output_tokens: int
    cost_micro: int


class NoThinker(Refused):
    """The hub has no model to plan or judge with: {why}. Add an Ollama on the page Machines, or see docs/thinking.md."""  # noqa: E501  the first line is the message


def ask(question: Question) -> Answer:
    """Ask whoever thinks for the hub, once, and wait for the whole answer: for jobs, never inside a transaction.

    Raises NoThinker, ThinkingFailed, and of the ledger Exhausted, Paused, Unpriced and CallTaken.
    """
    chosen = _chosen()
    _reserve(question, chosen)
    began = time.monotonic()
    try:
        said = asyncio.run(_call(chosen, question))
    except ThinkingFailed as failed:
        _post(question, failed, _milliseconds(began))
        logger.warning(
            "the hub could not think",
            purpose=question.purpose,
            model=chosen.model,
            code=failed.code,
            why=failed.message,
        )
        raise
    except Exception as fault:
        with transaction.atomic(durable=True):
            actions.mark_uncertain(question.call_id, reason=type(fault).__name__)
        raise
    charge = _settle(question, said, _milliseconds(began))
    return Answer(said.text, chosen.model, chosen.grade, said.usage.prompt, said.usage.output, charge.cost_micro or 0)


def thinker() -> Thinker | None:
    """Who would be asked now; None when nobody can."""
    found = _choice()
    return found if isinstance(found, Thinker) else None


def _chosen() -> Thinker:
    found = _choice()
    if isinstance(found, str):
        raise NoThinker("no_thinker", why=found)
    return found


def _choice() -> Thinker | str:
    return choose(
        rule_of(THINKING).chain,
        map(_candidate, Model.objects.filter(endpoint__origin=Origin.OPERATOR).select_related("endpoint")),
        claude=_claude(),
        named=settings.THINKING_MODEL,
        context=settings.THINKING_CONTEXT,
    )


def _candidate(model: Model) -> Candidate:
    endpoint = model.endpoint
    return Candidate(
        endpoint=endpoint.pk,
        name=str(endpoint),
        url=endpoint.url,
        grade=endpoint.grade,
        model=model.name,
        context=model.context,
        capabilities=frozenset(model.capabilities),
        warm=model.warm,
        usable=model.wanted and model.installed and endpoint.kind == "ollama",
        up={Health.UP: True, Health.DOWN: False}.get(Health(endpoint.health)),
        draining=endpoint.draining,
        version=endpoint.version,
    )


def _claude() -> Thinker | None:
    """Only with a key in the hub's environment."""
    if not settings.ANTHROPIC_API_KEY:
        return None
    return Thinker(
        provider="claude",
        grade=CLAUDE,
        model=settings.THINKING_CLAUDE_MODEL,
        context=settings.THINKING_CONTEXT,
        endpoint="Anthropic",
        url=settings.THINKING_CLAUDE_URL,
    )


def _reserve(question: Question, chosen: Thinker) -> None:
    """`durable` refuses to be inside another transaction, where neither commit would be before the call."""
    now = timezone.now()
    try:
        with transaction.atomic(durable=True):
            charge = actions.reserve(
                question.call_id,
                {**question.scopes, "state": question.state},
                model=chosen.priced,
                purpose=question.purpose,
                estimate=question.estimate,
                own=question.own,
                ttl=timedelta(seconds=settings.THINKING_SECONDS) + AFTERWARDS,
                now=now,
            )
    except Exhausted as full:
        with transaction.atomic(durable=True):
            accounts.remember(full)
        raise
    if charge.started_at != now:  # somebody else makes this very call
        raise CallTaken("call_taken", call_id=question.call_id)
    if chosen.endpoint_id is not None:
        Endpoint.objects.filter(pk=chosen.endpoint_id).update(last_used_at=Now())


async def _call(chosen: Thinker, question: Question) -> Said:
    # The clients are slow to load, and most processes of the hub never think.
    from apps.endpoints import claude_chat, ollama_chat

    asked: dict[str, Any] = {
        "system": question.system,
        "prompt": question.prompt,
        "schema": question.schema,
        "most": question.max_output,
        "seconds": settings.THINKING_SECONDS,
    }
    if chosen.provider == "claude":
        return await claude_chat.chat(chosen, key=settings.ANTHROPIC_API_KEY, **asked)
    return await ollama_chat.chat(chosen, **asked)


def _settle(question: Question, said: Said, took: int) -> Charge:
    with transaction.atomic(durable=True):
        if said.certain:
            return actions.settle(question.call_id, said.usage, duration_ms=took, request_id=said.request_id)
        return actions.mark_uncertain(question.call_id, said.usage, reason="The provider did not say what was used.")


def _post(question: Question, failed: ThinkingFailed, took: int) -> None:
    """What a call that failed has cost: nothing only where the provider certainly did no work."""
    with transaction.atomic(durable=True):
        if not failed.worked:
            actions.void(question.call_id, reason=failed.code)
        elif failed.usage is not None and failed.certain:
            actions.settle(question.call_id, failed.usage, duration_ms=took)
        else:
            actions.mark_uncertain(question.call_id, failed.usage, reason=failed.code)


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
