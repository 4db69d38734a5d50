"""Which model thinks for the hub. Pure: what the registry knows in, one of them or the reason why none out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from apps.endpoints.sizes import SMALLEST_CONTEXT

CLAUDE = "claude"
_HONEST_SINCE = (0, 12, 6)
"""Servers before it cut a prompt that is too long without a word."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model of an operator's endpoint. `context` in tokens, 0 when its server does not say."""

    endpoint: int
    name: str
    url: str
    grade: str
    model: str
    context: int = 0
    capabilities: frozenset[str] = frozenset()
    warm: bool = False
    usable: bool = True
    up: bool | None = None
    draining: bool = False
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Thinker:
    """Who would be asked. `context` is what prompt and answer may have together, in tokens."""

    provider: Literal["ollama", "claude"]
    grade: str
    model: str
    context: int
    endpoint: str
    url: str
    endpoint_id: int | None = None
    think: bool | Literal["low"] = False

    @property
    def priced(self) -> str:
        """The name under which the ledger finds its price."""
        return self.model if self.provider == "claude" else f"{self.provider}:{self.model}"


def choose(
    chain: Sequence[str], candidates: Iterable[Candidate], *, claude: Thinker | None, named: str, context: int
) -> Thinker | str:
    """The best of the first grade that has any, or why there is none.

    The model called `named` goes first, then endpoints that answered last time, then models that are loaded, then the
    larger context. `context` is the most that is ever asked for.
    """
    known, why = list(candidates), []
    for grade in chain:
        if grade == CLAUDE:
            if claude is not None:
                return claude
            why.append("for claude there is no ANTHROPIC_API_KEY")
            continue
        mine = [one for one in known if one.grade == grade]
        able = [one for one in mine if _answers(one) and _is_large_enough(one)]
        if able:
            return _thinker(min(able, key=lambda one: _order(one, named)), context)
        why.append(_why_not(grade, mine))
    return "; ".join(why)


def is_honest(version: str) -> bool:
    """Whether a server can be asked not to cut a prompt silently; not yet known counts as yes."""
    found = re.match(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-)?", version.strip())
    if not found:
        return not version.strip()
    numbers = tuple(int(part) for part in found.groups()[:3])
    return numbers > _HONEST_SINCE or (numbers == _HONEST_SINCE and not found[4])


def _answers(one: Candidate) -> bool:
    return (
        one.usable
        and one.up is not False
        and not one.draining
        and is_honest(one.version)
        and (not one.capabilities or "completion" in one.capabilities)
    )


def _is_large_enough(one: Candidate) -> bool:
    return one.context == 0 or one.context >= SMALLEST_CONTEXT


def _order(one: Candidate, named: str) -> tuple[bool, bool, bool, int, str, int]:
    is_named = bool(named) and one.model in (named, f"{named}:latest")
    return (not is_named, one.up is None, not one.warm, -one.context, one.model, one.endpoint)


def _thinker(one: Candidate, context: int) -> Thinker:
    return Thinker(
        provider="ollama",
        grade=one.grade,
        model=one.model,
        context=min(context, one.context or context),
        endpoint=one.name,
        url=one.url,
        endpoint_id=one.endpoint,
        think=_think(one),
    )


def _think(one: Candidate) -> bool | Literal["low"]:
    """Models that can think do unless told not to; gpt-oss always does, and can only be asked for little."""
    return "low" if "gpt-oss" in one.model.lower() and "thinking" in one.capabilities else False


def _why_not(grade: str, mine: Sequence[Candidate]) -> str:
    if not mine:
        return f"no endpoint of grade {grade} has a model"
    if all(one.up is False or one.draining for one in mine):
        return f"every endpoint of grade {grade} is down or drained"
    if not any(is_honest(one.version) for one in mine):
        return f"every endpoint of grade {grade} is too old"
    if any(_answers(one) for one in mine):
        return f"no model of grade {grade} has a context of at least {SMALLEST_CONTEXT} tokens"
    return f"no model of grade {grade} that is wanted and installed can answer in words"
