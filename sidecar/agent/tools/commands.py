"""Run a command of the model's choice, inside the sandbox."""

from __future__ import annotations

from typing import Any

from sidecar.agent.tools.base import Observation
from sidecar.agent.tools.clipping import clip, plain
from sidecar.agent.tools.refused import ToolRefused
from sidecar.agent.tools.scene import Scene
from sidecar.sandbox import Outcome

_SECONDS = 120
_MOST_SECONDS = 900
_COMMAND_CHARACTERS = 30_000  # the kernel takes 128 KiB for one argument


async def run_command(scene: Scene, command: str, timeout_seconds: int = _SECONDS) -> Observation:
    """Its exit code and what it printed; a command that fails is an observation like any other, but not `ok`."""
    if not command.strip() or "\0" in command or len(command) > _COMMAND_CHARACTERS:
        raise ToolRefused(f"A command has 1 to {_COMMAND_CHARACTERS} characters, NUL not among them.")
    outcome = await scene.run(command, seconds=min(max(timeout_seconds, 1), _MOST_SECONDS))
    data = told(outcome, most=scene.room)
    how = f"exit {outcome.exit_code}" if outcome.ended == "exited" else outcome.ended
    short = " ".join(command.split())[:80]
    return Observation(ok=outcome.succeeded, data=data, brief=f"[ran `{short}`: {how}, {data['seconds']} s]")


def told(outcome: Outcome, *, most: int) -> dict[str, Any]:
    """How a command ended, as a model is told: the end of what it printed matters more than the beginning."""
    data: dict[str, Any] = {
        "exit_code": outcome.exit_code,
        "ended": outcome.ended,
        "seconds": round(outcome.duration_ms / 1000, 1),
        "output": clip(plain(outcome.output).strip("\n"), most, head=0.3),
    }
    if outcome.problem:
        data["error"] = outcome.problem
    elif outcome.ended != "exited":
        data["error"] = f"It did not end within {data['seconds']:g} seconds and was stopped."
    elif outcome.exit_code:
        data["error"] = f"It failed with exit code {outcome.exit_code}."
    return data
