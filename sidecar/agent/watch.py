"""Notices that a model goes round in circles. One nudge with another idea; the next time it is stuck. (pure)"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from sidecar.agent.talk import Call

SAME_STEP = 3
ALTERNATIONS = 3
READS = 6
SAME_FAILURE = 4
READING = frozenset({"read_file", "list_directory", "search_files"})


class Watch:
    """Told of every call and what came of it; says what is wrong with their sequence, or nothing."""

    def __init__(self) -> None:
        self._steps: Counter[str] = Counter()
        self._last: deque[str] = deque(maxlen=2 * ALTERNATIONS)
        self._failures: Counter[str] = Counter()
        self._looked: set[str] = set()
        self._idle_reads = 0

    def note(self, call: Call, data: Mapping[str, Any], *, changed: bool, failure: str = "") -> str:
        """Take one step in; the advice to give when it is one of too many alike, else nothing.

        `failure` is what failed when something was run, as text that is the same when the same thing fails.
        """
        step = _digest(call.name, call.arguments, _lasting(data))
        self._steps[step] += 1
        self._last.append(_digest(call.name, call.arguments))
        if changed:
            self._looked.clear()
            self._idle_reads = 0
        advice = self._same(step) or self._alternating() or self._only_reading(call, changed) or self._failing(failure)
        if advice:
            self._forget()
        return advice

    def _same(self, step: str) -> str:
        if self._steps[step] < SAME_STEP:
            return ""
        return f"You have made this very call {SAME_STEP} times with the same result. Do something else."

    def _alternating(self) -> str:
        """Two calls in turn, whatever came of them: with the same results it would be seen before."""
        steps = list(self._last)
        if len(steps) < 2 * ALTERNATIONS or len(set(steps)) != 2 or len({*steps[::2]}) != 1:
            return ""
        return "You go back and forth between two calls. Decide on a change, make it, and verify it."

    def _only_reading(self, call: Call, changed: bool) -> str:
        """Reading what was read before; new places are how one finds the way."""
        if changed or call.name not in READING:
            return ""
        place = _digest(call.name, call.arguments)
        self._idle_reads = self._idle_reads + 1 if place in self._looked else self._idle_reads
        self._looked.add(place)
        if self._idle_reads < READS:
            return ""
        return "You read again what you have read before. You know enough: make the change now."

    def _failing(self, failure: str) -> str:
        if not failure:
            return ""
        self._failures[_digest(failure)] += 1
        if self._failures[_digest(failure)] < SAME_FAILURE:
            return ""
        return "The same thing has failed four times. Your idea of the cause is wrong: look for another one."

    def _forget(self) -> None:
        self._steps.clear()
        self._last.clear()
        self._failures.clear()
        self._looked.clear()
        self._idle_reads = 0


def _lasting(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` without how long things took, which is never quite the same."""
    rest = {name: value for name, value in data.items() if name != "seconds"}
    return {name: _lasting(value) if isinstance(value, Mapping) else value for name, value in rest.items()}


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
