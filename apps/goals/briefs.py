"""What an agent gets to read of a slice: the part that is its own, where it belongs, and what went wrong before.

What comes from elsewhere, such as another agent's output, is given as remarks, which the sidecar quotes as data.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.events.refused import Refused
from apps.goals.lifecycle import MergeStatus
from apps.goals.models import Goal, Merge, Slice
from apps.repos import diff
from apps.repos.trusted import GitFailed
from apps.tasks.verdict import failing, name_of

LONGEST = 10_000
LONGEST_PATCH = 8_000
LONGEST_OUTPUT = 2_000
MOST_FAILED = 4
HUB = "AgentCom"


def of_slice(goal: Goal, one: Slice) -> str:
    """The slice's own words, then the goal that it is a part of, for context only."""
    whole = f"{goal.title}\n{goal.description}".strip()
    context = f"\n\nThis is one part of a larger goal; do this part only. The goal, for context: {whole}"
    return (one.description.strip() + context)[:LONGEST].strip()


def of_refusal(goal: Goal, refused: Merge) -> list[Mapping[str, str]]:
    """Why the work before did not come in, and that work itself, to be done again on the branch as it is."""
    remarks = [_remark(_reason(goal, refused))]
    earlier = _patch(goal, refused)
    if earlier:
        remarks.append(_remark(f"The earlier change, which did not come in:\n{earlier}"))
    return remarks


def of_catching_up(goal: Goal) -> str:
    """What to do so that the default branch merges into the goal's."""
    branch = goal.repo.default_branch
    return (
        f"The work of this goal no longer merges with {branch}, which has moved. Change the files so that it does: "
        f"where the two differ in the same place, make that place as it is on {branch}, then put back around it what "
        "the goal needs. Keep what the goal has achieved, and keep the checks passing."
    )


def of_default(goal: Goal, refused: Merge) -> list[Mapping[str, str]]:
    """Why the default branch did not come in, and what it changed in the files that did not merge."""
    remarks = [_remark(_reason(goal, refused))]
    if refused.files and (changed := _patch(goal, refused, paths=refused.files)):
        remarks.append(_remark(f"What {goal.repo.default_branch} changed in these files:\n{changed}"))
    return remarks


def _reason(goal: Goal, refused: Merge) -> str:
    if refused.status == MergeStatus.CONFLICT:
        files = "\n".join(f"- {path}" for path in refused.files[:50])
        return f"The work does not merge with {goal.branch}, where others have changed the same places of:\n{files}"
    outputs = [
        f"{name_of(check)}:\n{str(check.get('output', ''))[-LONGEST_OUTPUT:]}"
        for check in failing(refused.report)[:MOST_FAILED]
    ]
    said = "\n\n".join(outputs)
    return f"Merged with the work of others, it did not pass its checks. {refused.note}\n\n{said}".strip()


def _patch(goal: Goal, refused: Merge, *, paths: list[str] | None = None) -> str:
    """What `refused` would have brought, as a patch against where the two parted; empty when it cannot be read."""
    try:
        shown = diff.text(goal.repo.mirror, refused.onto, refused.head, paths=paths or (), max_bytes=LONGEST_PATCH + 1)
    except (GitFailed, Refused):  # a commit that was never pushed, or one that shares no history
        return ""
    return shown if len(shown) <= LONGEST_PATCH else shown[:LONGEST_PATCH] + "\n… (cut)"


def _remark(body: str) -> Mapping[str, str]:
    return {"author": HUB, "body": body[:LONGEST], "path": ""}
