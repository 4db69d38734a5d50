"""Keep what is told to a model small, and say how much was left out. (pure)"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[@-Z\\^_])")
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])
_MARK = re.compile(r"\n\[\.\.\. (\d+) characters left out \.\.\.\]\n")
_SHORTEST = 60
_ROUNDS = 40


def json_length(value: Any) -> int:
    """Characters of `value` as JSON with spaces after its separators, characters beyond ASCII as they are."""
    return len(json.dumps(value, ensure_ascii=False))


def clip(text: str, most: int, *, head: float = 0.5) -> str:
    """At most about `most` characters: the first `head` part of them and the rest from the end, and what is gone."""
    if len(text) <= most:
        return text
    first = round(most * head)
    last = most - first
    tail = text[-last:] if last else ""
    return f"{text[:first]}\n[... {len(text) - first - last} characters left out ...]\n{tail}"


def plain(text: str) -> str:
    """What a terminal would be left with: no colours and control characters, of a rewritten line its last state."""
    lines = _ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines).translate(_CONTROLS)


def taken(items: Sequence[Any], room: int) -> int:
    """How many of `items`, from the first, have room as JSON."""
    used = 0
    for count, item in enumerate(items):
        used += json_length(item) + 2
        if used > room:
            return count
    return len(items)


def fitted(data: Mapping[str, Any], most: int) -> dict[str, Any]:
    """`data` with its longest texts cut in the middle until its JSON has at most `most` characters."""
    fit = {name: dict(value) if isinstance(value, Mapping) else value for name, value in data.items()}
    for _ in range(_ROUNDS):
        over = json_length(fit) - most
        if over <= 0:
            return fit
        texts = _texts(fit)
        if not texts:
            break
        holder, name = max(texts, key=lambda at: len(at[0][at[1]]))
        text: str = holder[name]
        if len(text) <= _SHORTEST:
            break
        # Escaped characters count more than once, so this may take several rounds; it never cuts more than needed.
        excess = max(1, over * len(text) // json_length(text)) + _SHORTEST
        holder[name] = _cut(text, max(len(text) - excess, _SHORTEST // 2))
    return {"error": "The answer was too large to be shown."}


def _texts(data: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    found = [(data, name) for name, value in data.items() if isinstance(value, str)]
    for value in data.values():
        if isinstance(value, dict):
            found += [(value, name) for name, inner in value.items() if isinstance(inner, str)]
    return found


def _cut(text: str, most: int) -> str:
    """Clip once more; a gap that is there already grows, so that its number stays true."""
    gap = _MARK.search(text)
    if gap is None:
        return clip(text, most)
    head, tail, gone = text[: gap.start()], text[gap.end() :], int(gap[1])
    whole = len(head) + len(tail)
    keep = min(most, whole)
    first = min(round(keep * len(head) / max(whole, 1)), len(head))
    last = min(keep - first, len(tail))
    end = tail[-last:] if last else ""
    return f"{head[:first]}\n[... {gone + whole - first - last} characters left out ...]\n{end}"
