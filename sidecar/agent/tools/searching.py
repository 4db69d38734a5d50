"""Find lines by a regular expression. It is matched inside the sandbox, where one without end hits a deadline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from sidecar.agent.tools.base import Observation
from sidecar.agent.tools.clipping import clip, plain, taken
from sidecar.agent.tools.inside import program
from sidecar.agent.tools.refused import ToolRefused
from sidecar.agent.tools.scene import Scene

_SECONDS = 10.0
_PATTERN_CHARACTERS = 1_000
_FIELDS = 400


async def search_files(scene: Scene, pattern: str, path: str = ".") -> Observation:
    """Matching lines as `path:line: text`; a pattern that is no expression is looked for as it stands."""
    if not pattern or "\0" in pattern or len(pattern) > _PATTERN_CHARACTERS:
        raise ToolRefused(f"A pattern has 1 to {_PATTERN_CHARACTERS} characters, NUL not among them.")
    parts = scene.files.parts(path)
    await asyncio.to_thread(scene.files.kind, parts)
    at = "./" + "/".join(parts)
    outcome = await scene.run([*program("search"), at, pattern], seconds=_SECONDS)
    said = list(_parsed(outcome.output))
    matches = [f"{name}:{line}: {plain(text)}" for name, line, text in (row for row in said if isinstance(row, list))]
    summary = next((row for row in said if isinstance(row, dict)), None)
    if summary is None and outcome.ended == "exited":
        raise ToolRefused("The search failed.", output=clip(plain(outcome.output), 1_000, head=0))
    return _observation(scene, pattern, matches, summary)


def _observation(scene: Scene, pattern: str, matches: list[str], summary: dict[str, Any] | None) -> Observation:
    total = summary["matches"] if summary else len(matches)
    shown = matches[: taken(matches, scene.room - _FIELDS)]
    data: dict[str, Any] = {"matches": shown}
    if total > len(shown):
        data["more"] = total - len(shown)
    if summary and summary["plain"]:
        data["note"] = "The pattern is no regular expression; it was looked for as plain text."
    brief = f"[searched {pattern[:60]!r}, {total} matches]"
    if summary is None:
        data["error"] = "The search was cut short: the pattern or the tree takes too long. Narrow it."
    return Observation(ok=summary is not None, data=data, brief=brief)


def _parsed(output: str) -> Iterator[Any]:
    for line in output.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # the line that the deadline cut
            continue
