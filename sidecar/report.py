"""Make a terminal report fit into one frame: what is long becomes shorter, what it says stays. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.wire import MAX_FRAME_BYTES, encode
from sidecar.wire.messages import TaskCompleted, TaskFailed, Terminal
from sidecar.wire.nouns import AgentStep, Report

ROOM = MAX_FRAME_BYTES - 4_096
UNREAD = 100
"""Characters of a complaint that always stay: without any, an answer that could not be read would look like another."""
GAP = "\n[… shortened to fit …]\n"


@dataclass(frozen=True)
class _Room:
    """Characters kept of the output of a check, of a command and of a text in a model's step; how many runs, steps."""

    check: int
    command: int
    text: int
    runs: int
    steps: int


ROOMS = (
    _Room(check=10_000, command=60_000, text=10_000, runs=20, steps=100),
    _Room(check=4_000, command=60_000, text=4_000, runs=20, steps=100),
    _Room(check=1_000, command=20_000, text=1_000, runs=10, steps=100),
    _Room(check=200, command=8_000, text=200, runs=5, steps=60),
    _Room(check=0, command=2_000, text=0, runs=2, steps=20),
)


def fit(report: Terminal) -> Terminal:
    """The report with its outputs cut, beginning and end kept, until it fits into a frame."""
    fitting = report
    for room in ROOMS:
        fitting = _cut(report, room)
        if len(encode(fitting).encode()) <= ROOM:
            break
    return fitting


def clip(text: str, limit: int) -> str:
    """At most `limit` characters of `text`: its beginning and its end, the latter longer, for errors come last."""
    if len(text) <= limit:
        return text
    room = limit - len(GAP)
    if room <= 0:
        return text[:limit]
    head = room // 3
    return text[:head] + GAP + text[len(text) - (room - head) :]


def storable(text: str) -> str:
    """`text` without halves of characters (lone surrogates): models do say them, and no frame can hold one."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _cut(report: Terminal, room: _Room) -> Terminal:
    if not isinstance(report, TaskCompleted | TaskFailed):
        return report
    steps = [_cut_step(step, room.text) for step in report.result.trajectory[-room.steps :]]
    shorter = {"output": clip(report.result.output, room.command), "trajectory": steps}
    reports = [_cut_run(run, room.check) for run in report.reports[-room.runs :]]
    return report.model_copy(update={"result": report.result.model_copy(update=shorter), "reports": reports})


def _cut_run(run: Report, of_check: int) -> Report:
    checks = [check.model_copy(update={"output": clip(check.output, of_check)}) for check in run.checks]
    return run.model_copy(update={"checks": checks})


def _cut_step(step: AgentStep, limit: int) -> AgentStep:
    uses = [
        use.model_copy(update={"arguments": clip(use.arguments, limit), "observation": clip(use.observation, limit)})
        for use in step.uses
    ]
    texts = {name: clip(getattr(step, name), limit) for name in ("said", "thinking", "diff")}
    texts["complaint"] = clip(step.complaint, max(limit, UNREAD))
    notes = [clip(note, limit) for note in step.notes] if limit else []
    return step.model_copy(update={**texts, "uses": uses, "notes": notes})
