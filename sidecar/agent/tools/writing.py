"""Write a file whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from sidecar.agent.tools import syntax
from sidecar.agent.tools.base import Observation
from sidecar.agent.tools.confined import WRITE_BYTES, Parts
from sidecar.agent.tools.refused import Missing, ToolRefused
from sidecar.agent.tools.scene import Scene
from sidecar.agent.tools.texts import Text, lines_of, numbered

_AROUND = 6


async def write_file(scene: Scene, path: str, content: str) -> Observation:
    """Create a file, or replace one of few lines; a long one is edited, for nobody repeats it without a slip."""
    parts = scene.files.parts(path)
    before = await content_of(scene, parts)
    lines = 0 if before is None else before.count(b"\n")
    if lines > scene.whole_file_lines:
        raise ToolRefused(f"{path} has {lines} lines: change it with edit_file instead of writing it whole.")
    after = _as_before(before, content)
    if before == after:
        return Observation(ok=True, data={"path": path, "unchanged": True}, brief=f"[{path[-100:]} unchanged]")
    data = {"path": path, "created": before is None, "lines": len(lines_of(content)), "bytes": len(after)}
    data |= await save(scene, parts, before=before, after=after)
    brief = f"[wrote {path[-100:]}, {len(after) / 1000:.1f} kB]"
    return Observation(ok=True, data=data, brief=brief, changed=frozenset({"/".join(parts)}))


def _as_before(before: bytes | None, content: str) -> bytes:
    """The content with the line endings and the byte order mark of what it replaces."""
    if not before or b"\0" in before:
        return content.encode()
    text = Text.of(before, "")
    return replace(text, body=text.alike(content)).content


async def content_of(scene: Scene, parts: Parts) -> bytes | None:
    """What the file holds now; None when it is not there."""
    try:
        return await asyncio.to_thread(scene.files.read, parts)
    except Missing:
        return None


async def save(scene: Scene, parts: Parts, *, before: bytes | None, after: bytes) -> dict[str, Any]:
    """Put `after` in place, unless that would break a file that could be parsed until now.

    Answers with what the model should know about its syntax: nothing, or a `syntax` field.
    """
    path = "/".join(parts)
    if len(after) > WRITE_BYTES:
        raise ToolRefused(f"{len(after):,} bytes are too many for one file: at most {WRITE_BYTES:,}.")
    verdict = await syntax.check(scene, path, before=before, after=after)
    where = f"line {verdict.line}: " if verdict.line else ""
    if verdict.broke:
        raise ToolRefused(
            f"Not written, {path} is as it was: it would no longer be valid. {where}{verdict.problem}",
            line=verdict.line,
            text=around(after.decode("utf-8", "replace"), verdict.line, verdict.line),
        )
    await asyncio.to_thread(scene.files.write, parts, after)
    return {"syntax": f"Written, but it is not valid. {where}{verdict.problem}"} if verdict.problem else {}


def around(text: str, first: int, last: int) -> str:
    """Lines `first` to `last` of a text and six before and after, numbered."""
    start = max(first - _AROUND, 1)
    return "\n".join(numbered(lines_of(text)[start - 1 : last + _AROUND], start))
