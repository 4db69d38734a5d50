"""What the loop asks of a model, whoever serves it."""

from __future__ import annotations

from typing import Protocol

from sidecar.agent.talk import Reply, Request


class Model(Protocol):
    """One model at one endpoint. Cancelling `reply` closes its connection, which ends the generation."""

    @property
    def name(self) -> str: ...

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        ...

    async def reply(self, request: Request) -> Reply:
        """Ask once; no retry hidden inside. Raises one of `sidecar.agent.faults`, and nothing else."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
