"""Goals and plans as XML documents; see `xsd/`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apps.events.documents import Shape, Value, read, write
from apps.goals import reading
from apps.goals.models import Goal, Slice
from apps.tasks.models import Lane

CHECK = Shape(name="check", attributes={"type": str, "timeout_seconds": float}, texts=("target", "description"))
FILE = Shape(name="file", attributes={"path": str}, text="reason")
WORDED: Mapping[str, Shape | str] = {"success_criteria": "criterion", "checks": CHECK, "file_hints": FILE}
GOAL = Shape(
    name="goal",
    attributes={
        "repo": str, "priority": str, "needs_approval": bool, "id": int, "status": str, "source": str,
        "submitted_by": str, "created_at": datetime, "finished_at": datetime,
    },
    texts=("title", "description"),
    lists={**WORDED, "tags": "tag", "depends_on": Shape(name="goal", attributes={"id": int})},
)  # fmt: skip
SLICE = Shape(
    name="slice",
    attributes={
        "number": int, "round": int, "tier": str, "state": str, "task": int, "tries": int, "merged_commit": str,
    },
    texts=("title", "description"),
    lists={**WORDED, "after": Shape(name="slice", attributes={"number": int})},
)  # fmt: skip
PLAN = Shape(
    name="plan",
    attributes={"goal": int, "repo": str, "branch": str, "model": str, "made_at": datetime},
    lists={"slices": SLICE},
)
KNOWN_TO_THE_HUB = ("id", "status", "source", "submitted_by", "created_at", "finished_at")
"""What a document may say of a goal that is not read when it is handed in."""


def of_goal(goal: Goal) -> bytes:
    """The goal as a document."""
    return write(
        {
            "repo": goal.repo.slug,
            "priority": Lane(goal.lane).label.lower(),
            "needs_approval": goal.needs_approval,
            "id": goal.pk,
            "status": goal.status,
            "source": goal.source,
            "submitted_by": goal.submitted_by,
            "created_at": goal.created_at,
            "finished_at": goal.finished_at,
            "title": goal.title,
            "description": goal.description,
            "success_criteria": goal.success_criteria,
            "checks": goal.checks,
            "file_hints": goal.file_hints,
            "tags": goal.tags,
            "depends_on": [{"id": pk} for pk in reading.prerequisite_ids(goal)],
        },
        GOAL,
    )


def wanted(data: bytes) -> Value:
    """What a document asks for, in the fields of a submission. Raises Unreadable."""
    asked = {key: value for key, value in read(data, GOAL).items() if key not in KNOWN_TO_THE_HUB}
    if "checks" in asked:
        asked["verification_steps"] = asked.pop("checks")
    if "depends_on" in asked:
        asked["depends_on"] = [each["id"] for each in asked["depends_on"]]
    return asked


def of_plan(goal: Goal) -> bytes:
    """The plan of a goal as a document, with how far each slice is; without slices while there is no plan."""
    plan = getattr(goal, "plan", None)
    return write(
        {
            "goal": goal.pk,
            "repo": goal.repo.slug,
            "branch": goal.branch,
            "model": plan.model if plan else "",
            "made_at": plan.made_at if plan else None,
            "slices": [_slice(step.slice, step.state) for step in reading.steps_of(goal)],
        },
        PLAN,
    )


def _slice(slice_: Slice, state: str) -> dict[str, Any]:
    return {
        "number": slice_.number,
        "round": slice_.round,
        "tier": slice_.tier,
        "state": state,
        "task": slice_.task_id,
        "tries": slice_.tries,
        "merged_commit": slice_.merged_commit,
        "title": slice_.title,
        "description": slice_.description,
        "success_criteria": slice_.success_criteria,
        "checks": slice_.checks,
        "file_hints": slice_.file_hints,
        "after": [{"number": number} for number in slice_.after],
    }
