"""What the loop asks of a tool box, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sidecar.agent.endings import Ending
from sidecar.agent.talk import Call, ToolSpec


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What came of one call: small typed fields for the model, and what the loop needs to know about it.

    `ok` is False for what the model did wrong or what failed; `data` then has `error`. `brief` is the one line that
    stays when old observations are masked. `changed` are paths relative to the tree. `finished` is the summary given to
    `finish_task`, None for every other call. `ending` is why nothing can be done any more, if that is so.
    """

    ok: bool
    data: Mapping[str, Any]
    brief: str
    changed: frozenset[str] = field(default_factory=frozenset)
    finished: str | None = None
    ending: Ending | None = None


class Toolbox(Protocol):
    """The tools of one attempt."""

    @property
    def specs(self) -> Sequence[ToolSpec]: ...

    async def use(self, call: Call) -> Observation:
        """Carry out one call; never raises for what a call asks, or what the tree holds."""
        ...
