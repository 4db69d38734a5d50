"""After a change: say how the work is verified and, where that is quick, how it stands now."""

from __future__ import annotations

from typing import Any

from sidecar.agent.tools.clipping import clip
from sidecar.agent.tools.commands import told
from sidecar.agent.tools.scene import Scene

_QUICK_SECONDS = 20.0
_OUTPUT_SHARE = 3  # of the room for an observation


class Nudge:
    """Knows the command that verifies, and how long it took the last time."""

    def __init__(self, scene: Scene, command: str) -> None:
        self._scene = scene
        self._command = command
        self._last_seconds = 0.0

    @property
    def command(self) -> str:
        return self._command

    def measured(self, seconds: float) -> None:
        """The command has been run and took so long, whoever ran it."""
        self._last_seconds = seconds

    async def after_change(self) -> dict[str, Any]:
        """The command and, if it is quick or nobody knows, its result."""
        said: dict[str, Any] = {"command": self._command}
        if self._last_seconds >= _QUICK_SECONDS or self._scene.deadline() < _QUICK_SECONDS:
            return said
        outcome = await self._scene.run(self._command, seconds=_QUICK_SECONDS)
        self.measured(_QUICK_SECONDS if outcome.ended == "timeout" else outcome.duration_ms / 1000)
        result = told(outcome, most=self._scene.room)
        result["output"] = clip(result["output"], self._scene.room // _OUTPUT_SHARE, head=0.2)
        return said | result
