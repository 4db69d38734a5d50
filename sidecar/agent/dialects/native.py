"""Calls by the provider's own mechanism; what a model writes in their place is read as far as it has one meaning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sidecar.agent.dialects.base import Reading
from sidecar.agent.dialects.ladder import climb
from sidecar.agent.talk import Reply, Said, ToolSpec, Turn

_INSTRUCTIONS = "Act by calling the tools; do not write calls out as text. An answer without a call ends your work."
_EXAMPLES = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
_SHOWN_CHARACTERS = 2_000


class Native:
    """Tools in the request, calls in the reply."""

    name = "native"

    def specs(self, tools: Sequence[ToolSpec]) -> Sequence[ToolSpec]:
        """All of them."""
        return tools

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """One line: the provider explains the rest."""
        return _INSTRUCTIONS

    def render(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """As it is; but calls that were refused are shown in words, where nothing else would show what was wrong."""
        return [_shown(turn) for turn in turns]

    def read(self, reply: Reply, tools: Sequence[ToolSpec]) -> Reading:
        """The provider's calls; failing these, what the words or the thoughts hold."""
        settled = climb(reply, tools)
        if settled is None:
            return Reading()
        if settled.wrong:
            return Reading(complaint=_complaint(settled.wrong, settled.spec or tools[0]) if tools else settled.wrong)
        return Reading(calls=settled.calls, repairs=settled.repairs)


def in_words(reply: Reply) -> str:
    """What was said, with the calls that were made and are not carried out."""
    if not reply.calls:
        return reply.text
    asked = [f"{call.name} {_told(call.arguments)}" for call in reply.calls]
    return f"{reply.text}\n[not carried out: {'; '.join(asked)[:_SHOWN_CHARACTERS]}]".strip()


def _told(arguments: Any) -> str:
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"


def _shown(turn: Turn) -> Turn:
    if not isinstance(turn, Said) or turn.calls or turn.reply.blocks or not turn.reply.calls:
        return turn
    return replace(turn, reply=replace(turn.reply, text=in_words(turn.reply), calls=()))


def _complaint(wrong: str, spec: ToolSpec) -> str:
    arguments = {name: _sample(name, spec) for name in spec.required}
    example = json.dumps({"name": spec.name, "arguments": arguments})
    return f"Nothing was carried out: {wrong}.\nA correct call looks like this: {example}"


def _sample(name: str, spec: ToolSpec) -> Any:
    return _EXAMPLES.get(spec.parameters["properties"][name].get("type", ""), f"<{name}>")
