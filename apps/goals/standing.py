"""How the slices of a goal stand, read from their tasks and merges into the plain values of course.py."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import OuterRef, Subquery

from apps.goals.course import Following, Part, State
from apps.goals.lifecycle import MergeStatus
from apps.goals.models import Goal, Merge, Slice
from apps.repos import mirror
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Attempt
from apps.tasks.verdict import NO_CHANGE

REFUSED = (MergeStatus.RED, MergeStatus.CONFLICT)
MOST_FOLLOWED = 5
"""How often a goal's branch follows the default branch; where that never rests, the pull request does the rest."""
MOST_REFUSED = 3
"""How often the default branch, ever another one, is tried on the branch as it is."""


def slices_of(goal: Goal) -> list[Slice]:
    """Every slice with its task, in order, and as `ended_with` the code of what its task failed with last."""
    attempts = Attempt.objects.filter(task=OuterRef("task")).order_by("-pk")
    ended = Slice.objects.filter(goal=goal).annotate(ended_with=Subquery(attempts.values("error_code")[:1]))
    return list(ended.select_related("task").order_by("number"))


def parts_of(slices: Sequence[Slice], merges: Sequence[Merge]) -> list[Part]:
    """How each slice stands. `merges` are all of the goal, the oldest first."""
    last = {merge.slice_id: merge for merge in merges if merge.slice_id is not None}
    return [_part(one, last.get(one.pk)) for one in slices]


def _part(one: Slice, merge: Merge | None) -> Part:
    state, why = _state(one, merge)
    return Part(number=one.number, state=state, after=tuple(one.after), tries=one.tries, why=why)


def _state(one: Slice, merge: Merge | None) -> tuple[State, str]:
    if one.merged_at is not None:
        return State.MERGED, ""
    if one.task is None:
        return State.WAITING, ""
    if one.task.status in (TaskStatus.DEAD, TaskStatus.CANCELLED) and not _changed_nothing(one):
        return State.LOST, f"task #{one.task_id} is {one.task.status}. {one.task.last_error}".strip()[:300]
    if not one.task.is_final:
        return State.RUNNING, ""
    if merge is None or merge.attempt is None or merge.attempt.task_id != one.task_id:
        return State.DONE, ""  # the merge before was of an earlier task
    if merge.status == MergeStatus.PENDING:
        return State.MERGING, ""
    if merge.status in REFUSED:
        return State.SENT_BACK, f"it came back from the merge {one.tries + 1} times. {merge.note}"[:300]
    return State.DONE, ""


def _changed_nothing(one: Slice) -> bool:
    """Whether agents found each time that there is nothing to do; that has to show in its checks on the branch."""
    return one.task is not None and one.task.status == TaskStatus.DEAD and getattr(one, "ended_with", None) == NO_CHANGE


def following(goal: Goal, merges: Sequence[Merge]) -> Following:
    """How the goal's branch stands to the default branch, as both are in the mirror now."""
    if any(merge.slice_id is None and merge.status == MergeStatus.PENDING for merge in merges):
        return Following.MERGING
    path = goal.repo.mirror
    head, default = mirror.head(path, goal.branch), mirror.head(path, goal.repo.default_branch)
    if head is None or default is None or mirror.is_ancestor(path, default, head):
        return Following.UP_TO_DATE
    follows = [merge for merge in merges if merge.slice_id is None]
    if sum(merge.status == MergeStatus.LANDED for merge in follows) >= MOST_FOLLOWED:
        return Following.UP_TO_DATE
    refused = [merge.head for merge in follows if merge.status in REFUSED and merge.onto == head]
    return Following.REFUSED if default in refused or len(refused) >= MOST_REFUSED else Following.BEHIND
