"""What of a talk goes into the next request: old observations shrink to a line when the context fills. (pure)

The system text, the task and the latest observations always stay, and what has been masked stays masked, so that a
server's prefix cache holds from one request to the next.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sidecar.agent.talk import Observed, Request, Said, Told, ToolSpec, Turn, Usage

KEPT = 4
"""So many latest observations stay whole."""
SPARE_TOKENS = 512
SMALL_CONTEXT = 8_192
FIRST_GUESS = 3.3
"""Characters a token, until a measured prompt says better."""
_OVERHEAD = 12
"""Characters that a turn costs beside its text."""


class Context:
    """Keeps a talk within a model's context. `size` in tokens, for prompt and answer together."""

    def __init__(self, size: int, answer: int) -> None:
        self._room = max(512, size - answer - SPARE_TOKENS)
        self._start_at = self._room * (0.35 if size <= SMALL_CONTEXT else 0.6)
        self._per_token = FIRST_GUESS
        self._masked: dict[int, str] = {}
        self._briefs: dict[int, str] = {}

    def brief(self, turn: int, text: str) -> None:
        """The line that may stand for the observation at index `turn` of the talk."""
        self._briefs[turn] = text

    def fit(self, request: Request, *, less: bool = False) -> Request:
        """The request with old observations masked as far as is needed; `less` when the server said it is too long.

        The result may still be too long: then nothing more can be left out, see `fits`.
        """
        turns = self._apply(request.turns)
        fitted = replace(request, turns=turns)
        if less or self.tokens(fitted) > self._start_at:
            self._mask(request.turns, 1 if less else KEPT)
            fitted = replace(request, turns=self._apply(request.turns))
        return fitted

    def fits(self, request: Request) -> bool:
        """Whether prompt and answer have room."""
        return self.tokens(request) <= self._room

    def tokens(self, request: Request) -> int:
        """How long the prompt of `request` is, by what was learned so far."""
        return round(characters(request) / self._per_token)

    def learn(self, request: Request, usage: Usage) -> None:
        """A measured prompt tells how many characters a token has for this model."""
        if usage.measured and usage.prompt > 200:
            self._per_token = min(6.0, max(1.5, characters(request) / usage.prompt))

    def _mask(self, turns: Sequence[Turn], kept: int) -> None:
        observed = [index for index, turn in enumerate(turns) if isinstance(turn, Observed)]
        for index in observed[:-kept]:
            if brief := self._briefs.get(index):
                self._masked[index] = brief

    def _apply(self, turns: Sequence[Turn]) -> list[Turn]:
        return [
            Observed(call=turn.call, text=self._masked[index])
            if isinstance(turn, Observed) and index in self._masked
            else turn
            for index, turn in enumerate(turns)
        ]


def characters(request: Request) -> int:
    """How much text a request is, tools and system text included."""
    return len(request.system) + sum(map(_tool, request.tools)) + sum(map(_turn, request.turns))


def _tool(tool: ToolSpec) -> int:
    return len(json.dumps({"name": tool.name, "description": tool.description, "parameters": tool.parameters}))


def _turn(turn: Turn) -> int:
    match turn:
        case Told(text=text) | Observed(text=text):
            return len(text) + _OVERHEAD
        case Said(reply=reply, calls=calls):
            asked = sum(len(json.dumps(call.arguments)) + len(call.name) for call in calls)
            return len(reply.text) + asked + _OVERHEAD
