"""A snapshot of the hub's own state machine as an XML document; see `xsd/fsm-snapshot.xsd`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apps.brain.models import Stay
from apps.brain.read import Report
from apps.events.documents import Shape, write

TRANSITION = Shape(
    name="transition",
    attributes={"number": int, "came_from": str, "to": str, "at": datetime, "seconds": float, "alarm": bool},
    texts=("reason",),
)  # fmt: skip
BUDGET = Shape(
    name="budget", attributes={"state": str, "period": str, "measure": str, "used": int, "limit": int, "enforced": bool}
)
PAUSE = Shape(name="pause", attributes={"by": str, "since": datetime}, texts=("reason",))
SNAPSHOT = Shape(
    name="fsm-snapshot",
    attributes={
        "state": str, "since": datetime, "snapshot_at": datetime, "cycle_count": int, "transition_count": int,
        "pending": int, "active": int, "waiting": int, "critical": int, "next": str,
    },
    texts=("reason",),
    lists={"holds": "hold", "budgets": BUDGET, "transition_history": TRANSITION},
    parts={"pause": PAUSE},
)  # fmt: skip


def of_report(report: Report) -> bytes:
    """How the hub is, as a document."""
    pause = report.pause
    return write(
        {
            "state": report.state,
            "since": report.since,
            "snapshot_at": report.now,
            "cycle_count": report.cycles,
            "transition_count": report.transitions,
            "pending": report.pending,
            "active": report.active,
            "waiting": report.waiting,
            "critical": report.critical,
            "next": report.next,
            "reason": report.why,
            "holds": report.holds,
            "budgets": [
                {
                    "state": purse.state, "period": purse.period, "measure": purse.measure, "used": purse.used,
                    "limit": purse.limit, "enforced": purse.enforced,
                }
                for purse in report.budgets
            ],
            "transition_history": [_stay(stay) for stay in report.stays],
            "pause": {"by": pause.by, "since": pause.since, "reason": pause.reason} if pause else None,
        },
        SNAPSHOT,
    )  # fmt: skip


def _stay(stay: Stay) -> dict[str, Any]:
    return {
        "number": stay.move,
        "came_from": stay.came_from,
        "to": stay.status,
        "at": stay.at,
        "seconds": stay.seconds,
        "alarm": stay.alarm,
        "reason": stay.reason,
    }
