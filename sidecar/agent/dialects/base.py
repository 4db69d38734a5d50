"""What the loop asks of a dialect, and what it gets back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sidecar.agent.talk import Call, Reply, ToolSpec, Turn


@dataclass(frozen=True)
class Reading:
    """What was read out of a reply: all of its calls, or none and a complaint to tell the model.

    Neither calls nor complaint: the model only spoke. `repairs` are stable words, one for each kind of repair that the
    calls needed: `from_text`, `from_thinking`, `json`, `string_arguments`, `nested`, `name`, `alias`, `argument`,
    `coerced`, `unknown_dropped`.
    """

    calls: tuple[Call, ...] = ()
    repairs: tuple[str, ...] = ()
    complaint: str = ""


class Dialect(Protocol):
    """One way to speak of tools. Pure: the same talk is always put in the same words, so prefix caches hold."""

    @property
    def name(self) -> str: ...

    def specs(self, tools: Sequence[ToolSpec]) -> Sequence[ToolSpec]:
        """The tools that belong into the request itself."""
        ...

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """What the system text says about calling tools."""
        ...

    def render(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """The talk as this dialect puts it, whichever dialect its parts were said in."""
        ...

    def read(self, reply: Reply, tools: Sequence[ToolSpec]) -> Reading:
        """The calls of a reply; never raises, whatever the model wrote."""
        ...
