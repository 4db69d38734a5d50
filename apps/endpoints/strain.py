"""How much an endpoint has to do, as one number to compare by and as words to show. Plain values in and out. Pure.

0 is a machine at rest with the model loaded; each running request counts 1; a machine whose processor or graphics
processor is fully busy counts another 1. What was not measured counts nothing: unknown is not busy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

COLD = 0.2
"""A model that has to be loaded first. Less than `ALIKE`: on its own it does not keep work from an equal endpoint."""
SHORT = 0.5
"""Memory, or video memory for a model that is not in it yet, that is nearly full: what comes next will be swapped."""
FULL = 0.92
ALIKE = 0.3
"""Loads that differ by no more than this are as good as equal: a measured load is never twice the same."""

FRESH = timedelta(seconds=45)
"""A load that was measured longer ago says nothing: agents measure every ten seconds."""


@dataclass(frozen=True)
class Strain:
    """`score` to compare by, lower is better; `words` say what it comes from."""

    score: float
    words: str


def strain(*, running: int, warm: bool, load: Mapping[str, Any] | None = None, memory_bytes: int = 0) -> Strain:
    """`load` is what the endpoint's machine measured (see `sidecar.wire.nouns.Load`), None when nobody knows lately."""
    load = load or {}
    gpus: Sequence[Mapping[str, Any]] = load.get("gpus") or []
    busy, which = max(((_share(load.get("cpu")), "CPU"), *((_share(gpu.get("busy")), "GPU") for gpu in gpus)))
    score = running + busy
    words = [f"{running} running" if running else "nothing running"]
    if busy > 0:
        words.append(f"{which} {busy:.0%}")
    if _ratio(load.get("memory_used_bytes"), memory_bytes) >= FULL:
        score += SHORT
        words.append("memory nearly full")
    if not warm:
        score += COLD
        words.append("model not loaded")
        if gpus and all(_ratio(gpu.get("memory_used_bytes"), gpu.get("memory_bytes")) >= FULL for gpu in gpus):
            score += SHORT
            words.append("video memory nearly full")
    return Strain(round(score, 3), ", ".join(words))


def _share(percent: float | None) -> float:
    return min(max(percent or 0.0, 0.0), 100.0) / 100


def _ratio(used: float | None, total: float | None) -> float:
    return used / total if used and total else 0.0
