"""Whether new content of a file can be parsed, asked before it is written.

Asked in the sandbox: source made to be hard on a parser can take an interpreter down, and it may be another Python
than ours that will run it. That costs some 20 ms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sidecar.agent.tools.inside import program
from sidecar.agent.tools.scene import Scene
from sidecar.sandbox import Outcome

_KINDS = {".py": "py", ".pyi": "py", ".json": "json", ".toml": "toml"}
_SECONDS = 10.0


@dataclass(frozen=True)
class Verdict:
    """`problem` says what is wrong with the new content, empty when nothing is or nobody can tell.

    `line` is where, 0 when that is not known. `broke` is True when the old content was in order.
    """

    problem: str = ""
    line: int = 0
    broke: bool = False


async def check(scene: Scene, path: str, *, before: bytes | None, after: bytes) -> Verdict:
    """Parse `after` as what the path's ending says; when that fails, see whether `before` was any better."""
    kind = _KINDS.get(PurePosixPath(path).suffix.lower())
    if kind is None:
        return Verdict()
    files = {"AGENTCOM_AFTER": after} | ({"AGENTCOM_BEFORE": before} if before is not None else {})
    outcome = await scene.run([*program("syntax"), kind], seconds=_SECONDS, files=files)
    said = _answer(outcome)
    if not said or not said["after"]:
        return Verdict()
    line, problem = said["after"]
    return Verdict(problem=str(problem)[:300], line=int(line), broke=before is not None and said["before"] is None)


def _answer(outcome: Outcome) -> dict[str, Any] | None:
    """None when the parser gave up (its stack, its memory, the deadline), which proves nothing."""
    if not outcome.succeeded:
        return None
    try:
        said = json.loads(outcome.output)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
