"""Every call of a model, written down before it is made and after it has ended, until the hub has it in its ledger.

A file for each attempt, one line for each thing that happened, so that a crash at any moment leaves the truth: a call
that was begun and has no end counts as the most that it can have used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict

from sidecar import atomic
from sidecar.wire.messages import ModelCalls
from sidecar.wire.nouns import ModelCall

logger = structlog.get_logger(__name__)

AT_ONCE = 100
_NUMBER = re.compile(r"[0-9]{1,18}")
AGAIN_SECONDS = 5.0
"""A call that was answered by nothing is told again this often."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    state: Literal["begun", "ended", "void", "settled"]
    task: int
    call: ModelCall


class CallBook:
    """The calls under one sidecar's root. Methods that write raise OSError when the disk does not take it."""

    def __init__(self, root: Path) -> None:
        """Reads what an earlier process left: its open calls will never end, so they are reported as they stand."""
        self._directory = root / "calls"
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open: dict[int, dict[str, _Line]] = {}
        self._due: dict[int, dict[str, _Line]] = {}
        self._paid: set[int] = set()
        self._told: dict[str, float] = {}
        for path in sorted(self._directory.glob("*.jsonl")):
            self._load(path)

    def begin(self, task: int, attempt: int, call: ModelCall, *, paid: bool) -> None:
        """About to be made; `call` holds the most that it can use. A `paid` one is on the disk before this returns."""
        if paid:
            self._paid.add(attempt)
        line = _Line(state="begun", task=task, call=call)
        self._write(attempt, line)
        self._open.setdefault(attempt, {})[call.call] = line

    def end(self, attempt: int, call: ModelCall) -> None:
        """It has ended, and this is what it used."""
        begun = self._open[attempt].pop(call.call)
        line = _Line(state="ended", task=begun.task, call=call)
        self._due.setdefault(attempt, {})[call.call] = line
        self._write(attempt, line)

    def void(self, attempt: int, call_id: str) -> None:
        """The provider certainly did nothing."""
        begun = self._open[attempt].pop(call_id)
        self._write(attempt, begun.model_copy(update={"state": "void"}))
        self._tidy(attempt)

    @property
    def owes(self) -> bool:
        """Whether the hub has to hear of a call yet."""
        return any(self._due.values())

    def due(self, now: float) -> list[ModelCalls]:
        """What to tell the hub at `now` (seconds of any clock that never goes back): each call until it is settled."""
        frames = []
        for attempt, lines in self._due.items():
            fresh = [
                line for line in lines.values() if now - self._told.get(line.call.call, -AGAIN_SECONDS) >= AGAIN_SECONDS
            ]
            if fresh:
                calls = [line.call for line in fresh[:AT_ONCE]]
                self._told.update({call.call: now for call in calls})
                frames.append(ModelCalls(task=fresh[0].task, attempt=attempt, calls=calls))
        return frames

    def settled(self, attempt: int, calls: Iterable[str]) -> None:
        """The hub has them."""
        due = self._due.get(attempt, {})
        for call_id in calls:
            if line := due.pop(call_id, None):
                self._told.pop(call_id, None)
                self._write(attempt, line.model_copy(update={"state": "settled"}))
        self._tidy(attempt)

    def _load(self, path: Path) -> None:
        if not _NUMBER.fullmatch(path.stem):
            logger.warning("a file that is none of the call book's was left alone", file=path.name)
            return
        attempt = int(path.stem)
        open_calls: dict[str, _Line] = {}
        due: dict[str, _Line] = {}
        for text in path.read_text("utf-8", "replace").split("\n"):
            if not text:
                continue
            try:
                line = _Line.model_validate_json(text)
            except ValueError:  # the line that a crash cut; what was before it still stands
                logger.warning("a line of the call book is damaged", file=path.name)
                continue
            open_calls.pop(line.call.call, None)
            due.pop(line.call.call, None)
            if line.state == "begun":
                open_calls[line.call.call] = line
            elif line.state == "ended":
                due[line.call.call] = line
        for call_id, line in open_calls.items():
            due[call_id] = line.model_copy(update={"call": line.call.model_copy(update={"certain": False})})
        self._due[attempt] = due
        self._tidy(attempt)

    def _write(self, attempt: int, line: _Line) -> None:
        path = self._path(attempt)
        fresh = not path.exists()
        with path.open("a", encoding="utf-8") as file:
            # begins a line of its own: the one before may have been cut by a full disk or a crash
            file.write(f"\n{line.model_dump_json(exclude_defaults=True)}\n")
            file.flush()
            if attempt in self._paid:  # money that was spent must be known after a power cut as well
                os.fsync(file.fileno())
        if fresh and attempt in self._paid:  # and so must the file's name
            atomic.settle(self._directory)

    def _tidy(self, attempt: int) -> None:
        if not self._open.get(attempt) and not self._due.get(attempt):
            self._open.pop(attempt, None)
            self._due.pop(attempt, None)
            self._paid.discard(attempt)
            self._path(attempt).unlink(missing_ok=True)

    def _path(self, attempt: int) -> Path:
        return self._directory / f"{attempt:d}.jsonl"
