"""What a judge is shown of a goal: the difference that its branch makes, the checks on it, what each slice came to."""

from __future__ import annotations

from apps.goals.judging import Changed, Done, Evidence, Proof, check_name
from apps.goals.lifecycle import MergeStatus
from apps.goals.models import Goal
from apps.repos import diff, mirror
from apps.repos.diff import FilePatch

MOST_BYTES = 60_000
"""Of the patch that is read; what a prompt has room for is less."""
MOST_OUTPUT = 500
MOST_SUMMARY = 600
_SIGNS = {"add": "+", "del": "-", "context": " "}


def of(goal: Goal, head: str) -> Evidence:
    """Everything that is known of the goal's work as its branch is at `head`, from git and the hub's checks."""
    base = mirror.head(goal.repo.mirror, goal.repo.default_branch) or goal.base
    patch = diff.patch(goal.repo.mirror, base, head, max_bytes=MOST_BYTES)
    return Evidence(
        files=tuple(_changed(one) for one in patch.files),
        checks=_proofs(goal),
        slices=tuple(_done(goal)),
    )


def _changed(one: FilePatch) -> Changed:
    lines = [f"{_SIGNS.get(line.kind, '')}{line.shown}" for hunk in one.hunks for line in hunk.lines]
    change = one.change
    return Changed(path=diff.visible(change.path), added=change.added, deleted=change.deleted, patch="\n".join(lines))


def _proofs(goal: Goal) -> tuple[Proof, ...]:
    """How each check ended the last time that it ran on a merged tree."""
    found: dict[str, Proof] = {}
    for merge in goal.merges.filter(status=MergeStatus.LANDED).order_by("pk"):
        for check in merge.report.get("checks", ()):
            name = check_name(str(check.get("type", "")), str(check.get("target", "")))
            found[name] = Proof(name, str(check.get("status", "")), str(check.get("output", ""))[-MOST_OUTPUT:])
    return tuple(found.values())


def _done(goal: Goal) -> list[Done]:
    merged = goal.merges.filter(status=MergeStatus.LANDED, slice__isnull=False).select_related("slice", "attempt")
    return [
        Done(merge.slice.title, str((merge.attempt.result if merge.attempt else {}).get("output", ""))[-MOST_SUMMARY:])
        for merge in merged.order_by("pk")
        if merge.slice is not None
    ]
