"""What every tool of one attempt works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.agent.endings import NoRoom
from sidecar.agent.tools.confined import Files
from sidecar.agent.tools.refused import ToolRefused
from sidecar.executors.base import Sandbox
from sidecar.sandbox import Outcome

_LEAST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A tree, the way to run something in it, and how much may be told of it.

    `deadline` says how many seconds the attempt has left, `room` how many characters an observation may have. Files of
    at most `whole_file_lines` lines are read and replaced whole.
    """

    tree: Path
    files: Files
    sandbox: Sandbox
    deadline: Callable[[], float]
    room: int
    whole_file_lines: int

    def ending(self) -> NoRoom | None:
        """That nothing more can be run here, once the work has taken all it may of the disk."""
        exceeded = self.sandbox.exceeded(self.tree)
        return NoRoom(exceeded.code, exceeded.message) if exceeded else None

    async def run(
        self, command: Sequence[str] | str, *, seconds: float, files: Mapping[str, bytes] | None = None
    ) -> Outcome:
        """Run in the sandbox for at most `seconds`, and never beyond the attempt's end."""
        left = min(seconds, self.deadline())
        if left < _LEAST_SECONDS:
            raise ToolRefused("There is no time left to run anything.")
        return await self.sandbox.run(command, tree=self.tree, timeout_seconds=left, files=files)
