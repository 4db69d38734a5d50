"""The seven tools of one attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sidecar.agent.talk import Call, ToolSpec
from sidecar.agent.tools.base import Observation
from sidecar.agent.tools.clipping import fitted
from sidecar.agent.tools.commands import run_command
from sidecar.agent.tools.confined import Files
from sidecar.agent.tools.editing import edit_file
from sidecar.agent.tools.nudge import Nudge
from sidecar.agent.tools.reading import list_directory, read_file
from sidecar.agent.tools.refused import ToolRefused
from sidecar.agent.tools.scene import Scene
from sidecar.agent.tools.searching import search_files
from sidecar.agent.tools.specs import SPECS, misfit
from sidecar.agent.tools.writing import write_file
from sidecar.executors.base import Sandbox

_SUMMARY_CHARACTERS = 4_000


async def _finish_task(_scene: Scene, summary: str) -> Observation:
    return Observation(
        ok=True, data={"finished": True}, brief="[finished]", finished=summary.strip()[:_SUMMARY_CHARACTERS]
    )


_TOOLS: Mapping[str, Callable[..., Awaitable[Observation]]] = {
    "read_file": read_file,
    "write_file": write_file,
    "edit_file": edit_file,
    "list_directory": list_directory,
    "search_files": search_files,
    "run_command": run_command,
    "finish_task": _finish_task,
}


class Box:
    """A Toolbox over `tree`. Files are touched by the sidecar, without following links; all else runs in `sandbox`.

    `deadline` says how many seconds the attempt has left. After each change `verify_command` is told and, when it is
    quick and `verify_after_edit`, run. The JSON of an observation's data has at most `observation_characters`
    (with characters beyond ASCII as they are). Files of at most `whole_file_lines` lines are shown and replaced whole.
    """

    def __init__(
        self,
        tree: Path,
        sandbox: Sandbox,
        *,
        deadline: Callable[[], float],
        verify_command: str = "",
        verify_after_edit: bool = True,
        observation_characters: int = 6_000,
        whole_file_lines: int = 150,
    ) -> None:
        self._scene = Scene(
            tree=tree,
            files=Files(tree),
            sandbox=sandbox,
            deadline=deadline,
            room=observation_characters,
            whole_file_lines=whole_file_lines,
        )
        self._nudge = Nudge(self._scene, verify_command)
        self._verifies = verify_after_edit and bool(verify_command.strip())

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return SPECS

    async def use(self, call: Call) -> Observation:
        """Carry out one call. Raises only Unavailable or BadPolicy: when this machine can run nothing at all."""
        try:
            seen = await self._carry_out(call)
        except ToolRefused as refused:
            seen = _failure(call, refused.message, **refused.data)
        except OSError as problem:
            seen = _failure(call, f"This machine could not do it: {problem.strerror or problem}.")
        return replace(seen, data=fitted(seen.data, self._scene.room), ending=self._scene.ending())

    async def _carry_out(self, call: Call) -> Observation:
        spec = next((spec for spec in SPECS if spec.name == call.name), None)
        if spec is None:
            names = ", ".join(spec.name for spec in SPECS)
            raise ToolRefused(f"There is no tool {call.name[:50]!r}. There are: {names}.")
        if problem := misfit(spec, call.arguments):
            raise ToolRefused(problem)
        seen = await _TOOLS[spec.name](self._scene, **call.arguments)
        if call.name == "run_command" and call.arguments["command"].strip() == self._nudge.command.strip():
            self._nudge.measured(seen.data["seconds"])
        if seen.changed and self._verifies:
            return await self._verified(seen)
        return seen

    async def _verified(self, seen: Observation) -> Observation:
        """The change stands whatever becomes of the nudge."""
        try:
            verify = await self._nudge.after_change()
        except (ToolRefused, OSError):
            verify = {"command": self._nudge.command}
        return replace(seen, data={**seen.data, "verify": verify})


def _failure(call: Call, message: str, **data: Any) -> Observation:
    return Observation(ok=False, data={"error": message, **data}, brief=f"[{call.name[:50]} failed: {message[:100]}]")
