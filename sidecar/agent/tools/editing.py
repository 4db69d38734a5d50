"""Replace one place of a file."""

from __future__ import annotations

import asyncio
from typing import Any

from sidecar.agent.tools.base import Observation
from sidecar.agent.tools.confined import Parts
from sidecar.agent.tools.matching import Ambiguous, Edit, NoMatch, replaced
from sidecar.agent.tools.refused import ToolRefused
from sidecar.agent.tools.scene import Scene
from sidecar.agent.tools.texts import Text, numbered
from sidecar.agent.tools.writing import around, content_of, save


async def edit_file(scene: Scene, path: str, old: str, new: str) -> Observation:
    """Put `new` where `old` is, if that is one place; line endings, byte order mark and mode stay."""
    parts = scene.files.parts(path)
    if old == new:
        raise ToolRefused("old and new are the same: there is nothing to change.")
    before = await content_of(scene, parts)
    if before is None and old:
        raise ToolRefused(f"There is no {path} to edit.")
    text = Text.of(before or b"", path)
    if text.body and not old:
        raise ToolRefused(f"old is empty: say which lines of {path} to replace.")
    edit = await asyncio.to_thread(_matched, text, old, new, path)
    return await _landed(scene, parts, before, text.become(edit.text), edit)


async def _landed(scene: Scene, parts: Parts, before: bytes | None, text: Text, edit: Edit) -> Observation:
    path = "/".join(parts)
    after = text.content
    if after == before:
        raise ToolRefused(f"{path} says that already: nothing has changed.")
    broken = await save(scene, parts, before=before, after=after)
    shown = text.body.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    data: dict[str, Any] = {"path": path, "matched": edit.how, "line": edit.first}
    data |= {"text": around(shown, edit.first, edit.last)} | ({"was": edit.was} if edit.was else {}) | broken
    brief = f"[edited {path[-100:]} at line {edit.first}]"
    return Observation(ok=True, data=data, brief=brief, changed=frozenset({path}))


def _matched(text: Text, old: str, new: str, path: str) -> Edit:
    try:
        return replaced(text.body, text.alike(old), text.alike(new))
    except Ambiguous as many:
        lines = ", ".join(map(str, many.lines[:10]))
        raise ToolRefused(
            f"old occurs more than once in {path}, at lines {lines}: give more lines around the right one.",
            lines=many.lines[:10],
        ) from many
    except NoMatch as miss:
        near = "\n".join(numbered(text.lines[miss.first - 1 : miss.last], miss.first)) if miss.first else ""
        found = {"closest": near} if near else {}
        raise ToolRefused(
            f"old does not occur in {path}: copy it from the file, without line numbers.", **found
        ) from miss
