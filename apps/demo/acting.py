"""How a part is played: one act after the other, each sent what came of the one before it."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Seen = Mapping[str, Any]
Acting = Generator["Act", Seen, str]
"""Yields what to do next and is sent what came of it; returns what it says in the end."""
NUMBERED = re.compile(r"^\d+\t")
IN_WORDS = re.compile(r"^Result of \w+: (.*)$", re.MULTILINE)
"""An observation as a model is told of it that has no tools of its own."""


@dataclass(frozen=True)
class Act:
    """One call, and the words that go before it."""

    tool: str
    arguments: Mapping[str, Any]
    words: str = ""


def next_act(acting: Acting, observed: Sequence[Seen]) -> Act:
    """What comes after so many observations; the part is gone through anew, so that nothing is remembered."""
    try:
        act = next(acting)
        for seen in observed:
            act = acting.send(seen)
    except StopIteration as over:
        return Act("finish_task", {"summary": str(over.value)})
    return act


def seen_in(messages: Sequence[Mapping[str, Any]]) -> list[Seen]:
    """The observations of a talk on Ollama's wire, from messages of tools or in words."""
    found: list[Seen] = []
    for message in messages:
        if message["role"] == "tool":
            found.append(_parsed(str(message["content"])))
        elif message["role"] == "user":
            found += map(_parsed, IN_WORDS.findall(str(message["content"])))
    return found


def text_of(seen: Seen, field: str = "text") -> str:
    """What a window of a file shows, without the numbers of its lines."""
    return "\n".join(NUMBERED.sub("", line) for line in str(seen.get(field, "")).split("\n"))


def _parsed(content: str) -> Seen:
    try:
        found = json.loads(content)
    except ValueError:  # shortened to a line
        return {}
    return found if isinstance(found, dict) else {}
