"""Look at files and directories."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from sidecar.agent.tools.base import Observation
from sidecar.agent.tools.clipping import taken
from sidecar.agent.tools.confined import LISTED, Entry, Files, Parts, readable
from sidecar.agent.tools.refused import ToolRefused
from sidecar.agent.tools.scene import Scene
from sidecar.agent.tools.texts import Text, numbered

MOST_LINES = 120
_LINES = 100
_ENTRIES = 200
_SMALL = 60
_FIELDS = 400  # characters for what stands beside the text or the list
_NOT_LOOKED_INTO = {".git", "node_modules", "__pycache__", ".venv", "venv", ".tox"}


async def read_file(scene: Scene, path: str, start: int = 1, count: int | None = None) -> Observation:
    """A window of a file's lines, numbered; a short file whole unless a part is asked for."""
    content = await asyncio.to_thread(lambda: scene.files.read(scene.files.parts(path)))
    lines = Text.of(content, path).lines
    if count is None:
        count = len(lines) if start <= 1 and len(lines) <= scene.whole_file_lines else _LINES
    else:
        count = min(max(count, 1), MOST_LINES)
    return _window(scene, path, lines, start=max(start, 1), count=count, size=len(content))


def _window(scene: Scene, path: str, lines: list[str], *, start: int, count: int, size: int) -> Observation:
    if start > max(len(lines), 1):
        raise ToolRefused(f"{path} has {len(lines)} lines; there is no line {start}.")
    wanted = numbered(lines[start - 1 : start - 1 + count], start)
    shown = wanted[: max(taken(wanted, scene.room - _FIELDS - len(path)), 1)]
    end = start - 1 + len(shown)
    data: dict[str, Any] = {"path": path, "total_lines": len(lines), "start": start, "end": end}
    data["text"] = "\n".join(shown)
    if end < len(lines):
        data["continue_at"] = end + 1
    return Observation(ok=True, data=data, brief=f"[read {path[-100:]} {start}-{end}, {size / 1000:.1f} kB]")


async def list_directory(scene: Scene, path: str) -> Observation:
    """Directories, then files with their sizes; of a small tree two levels."""
    found = await asyncio.to_thread(lambda: _two_levels(scene.files, scene.files.parts(path)))
    order = {"directory": 0, "file": 1}
    found.sort(key=lambda entry: (order.get(entry.kind, 2), entry.name))
    lines = [_line(entry) for entry in found[:_ENTRIES]]
    shown = lines[: taken(lines, scene.room - _FIELDS - len(path))]
    data: dict[str, Any] = {"path": path, "entries": shown}
    if left := len(found) - len(shown):
        data["more"] = left
    if len(found) >= LISTED:
        data["note"] = f"Only the first {LISTED} names were looked at."
    return Observation(ok=True, data=data, brief=f"[listed {path[-100:]}, {len(found)} entries]")


def _line(entry: Entry) -> str:
    name = readable(entry.name)
    if entry.kind == "directory":
        return f"{name}/"
    return f"{name} ({entry.size} bytes)" if entry.kind == "file" else f"{name} ({entry.kind})"


def _two_levels(files: Files, parts: Parts) -> list[Entry]:
    """The second level comes along only as long as all of it is short."""
    top = files.entries(parts)
    found = list(top)
    for entry in top:
        if len(found) > _SMALL:
            return top
        if entry.kind == "directory" and entry.name not in _NOT_LOOKED_INTO:
            found += _below(files, parts, entry.name)
    return found if len(found) <= _SMALL else top


def _below(files: Files, parts: Parts, name: str) -> list[Entry]:
    try:
        return [replace(entry, name=f"{name}/{entry.name}") for entry in files.entries((*parts, name))]
    except ToolRefused:  # closed to us, or gone meanwhile
        return []
