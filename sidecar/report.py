"""Make a terminal report fit into one frame: what is long becomes shorter, what it says stays. Pure."""

from __future__ import annotations

from sidecar.wire import MAX_FRAME_BYTES, encode
from sidecar.wire.messages import TaskCompleted, TaskFailed, Terminal
from sidecar.wire.nouns import Report

ROOM = MAX_FRAME_BYTES - 4_096
GAP = "\n[… shortened to fit …]\n"
STEPS = (
    # characters kept of: the output of a check, the output of the command; and how many runs of the checks
    (10_000, 60_000, 20),
    (4_000, 60_000, 20),
    (1_000, 20_000, 10),
    (200, 8_000, 5),
    (0, 2_000, 2),
)


def fit(report: Terminal) -> Terminal:
    """The report with its outputs cut, beginning and end kept, until it fits into a frame."""
    fitting = report
    for of_check, of_command, runs in STEPS:
        fitting = _cut(report, of_check, of_command, runs)
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


def _cut(report: Terminal, of_check: int, of_command: int, runs: int) -> Terminal:
    if not isinstance(report, TaskCompleted | TaskFailed):
        return report
    result = report.result.model_copy(update={"output": clip(report.result.output, of_command)})
    reports = [_cut_run(run, of_check) for run in report.reports[-runs:]]
    return report.model_copy(update={"result": result, "reports": reports})


def _cut_run(run: Report, of_check: int) -> Report:
    checks = [check.model_copy(update={"output": clip(check.output, of_check)}) for check in run.checks]
    return run.model_copy(update={"checks": checks})
