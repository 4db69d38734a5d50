"""A goal that is being carried out goes on: slices are handed in, work is merged, and in the end it is judged.

Everything follows from the rows (course.py), so this may run at any time, in any process, and as often as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Refused, Stale
from apps.goals import briefs, gate, merging
from apps.goals.actions import watchers
from apps.goals.course import Course, Following, plot
from apps.goals.lifecycle import GoalStatus, MergeStatus
from apps.goals.models import Goal, Merge, Slice
from apps.goals.standing import REFUSED, following, parts_of, slices_of
from apps.repos.trusted import GitFailed
from apps.tasks import actions as tasks
from apps.tasks.actions import OURS, Submission
from apps.tasks.spending import OWN

logger = structlog.get_logger(__name__)
MOST_STEPS = 20


def advance(goal: int) -> None:
    """Do what is next for the goal until it has to wait for somebody. Twice is once."""
    for _ in range(MOST_STEPS):
        found = Goal.objects.select_related("repo").filter(pk=goal, status=GoalStatus.EXECUTING).first()
        if found is None or gate.is_closed() or not _step(found):
            return


def _step(goal: Goal) -> bool:
    """Whether something changed, so that there may be more to do; what keeps it from that is said on the goal."""
    try:
        changed = _follow(goal, _course(goal))
        hold(goal, "")
        return changed
    except Stale as lost:
        logger.info("another process is faster with a goal", goal=goal.pk, code=lost.code)
    except Refused as refused:
        hold(goal, refused.message)
    except GitFailed as failed:
        logger.exception("git failed with a goal", goal=goal.pk)
        hold(goal, str(failed))
    return False


def _follow(goal: Goal, course: Course) -> bool:
    """Whether there was anything to do."""
    if goal.repo.paused:
        raise Refused("repo_paused", f"{goal.repo.slug} is paused.")
    if course.hand_in or course.catch_up:
        return _hand_in(goal, course)
    if course.merge is not None:
        _merge(goal, course.merge)
    elif course.verify:
        _have_judged(goal)
    elif course.review:
        _give_up(goal)
    else:
        return False
    return True


def _course(goal: Goal, at: Following | None = None) -> Course:
    """What to do now. `at`: how the branch stands to the default branch, where git is not to be asked."""
    slices, merges = slices_of(goal), list(goal.merges.order_by("pk").select_related("attempt"))
    caught_up = sum(one.catches_up for one in slices)
    # Only when all is merged does it matter where the default branch is, and is git asked.
    finished = all(one.merged_at is not None for one in slices)
    if at is None:
        at = following(goal, merges) if finished else Following.UP_TO_DATE
    return plot(parts_of(slices, merges), at, caught_up=caught_up)


# --- handing in -------------------------------------------------------------------------------------------------------


def _hand_in(goal: Goal, course: Course) -> bool:
    """Submit the tasks of the slices whose turn it is, in one commit; looked at again under the goal's lock."""
    if gate.is_closed():
        return False
    # What git has to say of them is read before: under the lock everybody else would wait for it.
    remarks = {one.number: _remarks(goal, one) for one in slices_of(goal) if one.number in course.hand_in}
    at = Following.REFUSED if course.catch_up else Following.UP_TO_DATE
    with transaction.atomic():
        now = Goal.objects.select_for_update(of=("self",)).select_related("repo").get(pk=goal.pk)
        if now.status != GoalStatus.EXECUTING:
            raise Stale("goal_moved", f"The goal is {now.status}.")
        course = _course(now, at)
        if course.catch_up:
            _catch_up(now)
        slices = {one.number: one for one in slices_of(now)}
        for number in sorted(remarks.keys() & set(course.hand_in)):
            _submit(now, slices[number], remarks[number])
        return bool(course.hand_in) or course.catch_up


def _remarks(goal: Goal, one: Slice) -> list[Mapping[str, str]]:
    """What an agent has to know of what did not come in: its own earlier work, or the default branch."""
    sent_back = _sent_back(one)
    remarks = briefs.of_refusal(goal, sent_back) if sent_back is not None else []
    refused = goal.merges.filter(slice__isnull=True, status__in=REFUSED).order_by("-pk").first()
    if one.catches_up and refused is not None:
        remarks += briefs.of_default(goal, refused)
    return remarks


def _submit(goal: Goal, one: Slice, remarks: Sequence[Mapping[str, str]]) -> None:
    wanted = Submission(
        title=one.title,
        description=briefs.of_slice(goal, one),
        lane=goal.lane,
        repo=goal.repo,
        tier=one.tier,
        checks=merging.checks_for(goal, one),
        success_criteria=one.success_criteria,
        file_hints=one.file_hints,
        remarks=remarks,
        metadata={"slice": one.number, **({OWN: True} if goal.is_own else {})},
        goal=goal.pk,
        start=goal.branch,
        idempotency_key=f"{OURS}goal-{goal.pk}-slice-{one.number}-{one.handed + 1}",
    )
    task, _ = tasks.submit(wanted, by="goals")
    counts = one.task_id is not None and _sent_back(one) is not None
    Slice.objects.filter(pk=one.pk).update(task=task, handed=one.handed + 1, tries=one.tries + counts)


def _sent_back(one: Slice) -> Merge | None:
    """The merge that this slice's work came back from last; it still says what to mind when the next try was lost."""
    last = one.merges.order_by("-pk").first()
    return last if last is not None and last.status in REFUSED else None


def _catch_up(goal: Goal) -> None:
    """A slice that makes room for what is new on the default branch."""
    numbers = goal.slices.values_list("number", flat=True)
    Slice.objects.create(
        goal=goal,
        number=max(numbers, default=0) + 1,
        round=goal.rounds,
        title=f"Follow {goal.repo.default_branch}",
        description=briefs.of_catching_up(goal),
        catches_up=True,
    )


def add_slices(goal: Goal, planned: Iterable[Mapping[str, Any]]) -> Sequence[Slice]:
    """Slices for `goal` after those it has; `after` counts within `planned`, from 1. Call inside a transaction."""
    first = max(goal.slices.values_list("number", flat=True), default=0)
    rows = [
        Slice(goal=goal, number=first + place, round=goal.rounds, **{**one, "after": [first + n for n in one["after"]]})
        for place, one in enumerate(planned, start=1)
    ]
    return Slice.objects.bulk_create(rows)


@transaction.atomic
def _give_up(goal: Goal) -> None:
    """A person has to look, unless somebody has revived meanwhile what was lost: looked at again under the lock."""
    now = Goal.objects.select_for_update(of=("self",)).select_related("repo").get(pk=goal.pk)
    if now.status != GoalStatus.EXECUTING:
        raise Stale("goal_moved", f"The goal is {now.status}.")
    course = _course(now, Following.REFUSED)  # the last thing that may be refused; before it nobody asks
    if course.review:
        want_review(now, course.review)


# --- merging ----------------------------------------------------------------------------------------------------------


def _merge(goal: Goal, number: int) -> None:
    incoming = merging.of_slice(goal.slices.get(number=number)) if number else merging.of_default(goal)
    merging.begin(goal, incoming)


def overdue_reports(goal: Goal) -> list[Merge]:
    """Pending merges whose checks have ended, though nobody took the report."""
    pending = goal.merges.filter(status=MergeStatus.PENDING, task__finished_at__isnull=False)
    return list(pending.select_related("task"))


# --- ends -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def _have_judged(goal: Goal) -> None:
    changes = {"tries": 0, "hold": ""}
    transition(goal, GoalStatus.VERIFYING, Kind.GOAL_JUDGING, set=changes, tell=watchers(goal))


@transaction.atomic
def want_review(goal: Goal, reason: str) -> bool:
    """The hub cannot go on with it: a person has to look. Everything that was made is kept."""
    changes = {"reason": reason[:1_000], "hold": "", "claim_until": None}
    tell = [*watchers(goal), "needs-you"]
    transition(
        goal, GoalStatus.NEEDS_REVIEW, Kind.GOAL_REVIEW_WANTED, set=changes, tell=tell, reason=reason[:1_000],
        source=goal.source,
    )  # fmt: skip
    return True


def hold(goal: Goal, why: str) -> None:
    """Say on the goal what keeps it from going on just now, if anything; it is looked at again by itself."""
    executing = Goal.objects.filter(pk=goal.pk, status=GoalStatus.EXECUTING)
    if executing.exclude(hold=why[:500]).update(hold=why[:500]):
        with transaction.atomic():
            record(Kind.GOAL_CHANGED, goal, tell=watchers(goal), hold=why[:500])


def tidy(goal: Goal) -> None:
    """Let go of the merged trees of a goal that has ended: what landed is in its branch, and the rest was refused."""
    merging.forget_candidates(goal)


@transaction.atomic
def landed(goal: Goal) -> None:
    """A person merged its pull request: goals that wait for it may begin."""
    if Goal.objects.filter(pk=goal.pk, landed_at__isnull=True).update(landed_at=Now()):
        record(Kind.GOAL_LANDED, goal, tell=watchers(goal))


@transaction.atomic
def rejected(goal: Goal) -> None:
    """A person closed its pull request without merging it."""
    still = Goal.objects.filter(pk=goal.pk, landed_at__isnull=True, rejected_at__isnull=True)
    if still.update(rejected_at=Now()):
        record(Kind.GOAL_REJECTED, goal, tell=watchers(goal))
