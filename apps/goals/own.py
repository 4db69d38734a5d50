"""Goals that the hub makes for itself: few, none twice, fewer when people turn them down, none while it is paused."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.events.models import Event
from apps.events.refused import Refused, Stale
from apps.goals import admission, gate, merging
from apps.goals.actions import Wanted, submit
from apps.goals.admission import Answer, Own, Rejected
from apps.goals.dependencies import one_at_a_time
from apps.goals.lifecycle import GoalStatus, MergeStatus
from apps.goals.models import OWN, Goal, Merge, Slice
from apps.tasks import actions as tasks
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Task

BY = "the hub"
PAUSED = "The hub is paused."
UNBEGUN = (TaskStatus.QUEUED, TaskStatus.WAITING)


class TurnedAway(Refused):
    """The hub makes itself no such goal now: {why}"""


def submit_own(wanted: Wanted, *, fingerprint: str, now: datetime | None = None) -> Goal:
    """Take in a goal that the hub wants of itself; `fingerprint` says what it is about. Raises TurnedAway, Invalid."""
    if wanted.source not in OWN or not fingerprint:
        raise ValueError("a goal of the hub's own has a source of its own, and says what it is about")
    if gate.is_closed():
        raise TurnedAway("paused", why="it is paused.")
    with transaction.atomic():
        one_at_a_time()  # two that count what is open at once would both find the last place free
        found = _admitted(wanted, fingerprint[:200], now or timezone.now())
        if isinstance(found, admission.TurnedAway):
            raise TurnedAway(found.code, why=found.sentence)
        try:
            return submit(wanted, by=BY, fingerprint=fingerprint[:200])[0]
        except IntegrityError as twice:
            raise TurnedAway("duplicate", why="A goal about the same thing is open.") from twice


def _admitted(wanted: Wanted, fingerprint: str, now: datetime) -> admission.Admitted | admission.TurnedAway:
    mine = Goal.objects.own().filter(repo=wanted.repo).order_by("-pk")
    last = list(mine[: admission.LOOKED_BACK])
    rejected = Goal.objects.own().filter(rejected_at__gte=now - admission.REMEMBERED)
    return admission.admit(
        Own(wanted.repo.slug, wanted.source, fingerprint),
        still_open=[
            Own(*row) for row in Goal.objects.own().undecided().values_list("repo__slug", "source", "fingerprint")
        ],
        rejected=[Rejected(goal.fingerprint, goal.rejected_at) for goal in rejected if goal.rejected_at],
        answers=[_answer(goal, now) for goal in last],
        last_at=last[0].created_at if last else None,
        now=now,
    )


def _answer(goal: Goal, now: datetime) -> Answer:
    return admission.answer(
        landed=goal.landed_at is not None,
        rejected=goal.rejected_at is not None,
        waiting_since=_waiting_since(goal),
        touched_at=_touched_at(goal),
        now=now,
    )


def _waiting_since(goal: Goal) -> datetime | None:
    """Since when it has been for people to act; None while it is for the hub."""
    if goal.status == GoalStatus.COMPLETE:
        return goal.finished_at
    if goal.status == GoalStatus.NEEDS_REVIEW or goal.awaits_approval:
        return Event.objects.filter(subject=f"goal/{goal.pk}").order_by("-pk").values_list("at", flat=True).first()
    return None


def _touched_at(goal: Goal) -> datetime | None:
    """When somebody last did something with it or its pull request."""
    subjects = [f"goal/{goal.pk}", *([f"pullrequest/{goal.pull_id}"] if goal.pull_id else [])]
    people = Event.objects.filter(subject__in=subjects).exclude(actor__in=["", BY])
    return people.order_by("-pk").values_list("at", flat=True).first()


def withdraw() -> int:
    """Take what the hub wants of itself, and nobody has begun, out of the queue; the number of tasks.

    It is handed in again, and its merges are tried anew, once the hub may go on.
    """
    waiting = {"goal__source__in": OWN, "goal__finished_at__isnull": True, "task__status__in": UNBEGUN}
    slices = Slice.objects.filter(**waiting).values_list("pk", flat=True)
    merges = Merge.objects.filter(**waiting, status=MergeStatus.PENDING).values_list("pk", flat=True)
    return sum(map(_withdraw, slices)) + sum(map(_withdraw_checks, merges))


@transaction.atomic
def _withdraw(pk: int) -> int:
    one = Slice.objects.select_for_update().get(pk=pk)
    if (task := unbegun(one.task_id)) is None:
        return 0
    Slice.objects.filter(pk=pk).update(task=None)
    tasks.cancel(task, by=BY, reason=PAUSED)
    return 1


@transaction.atomic
def _withdraw_checks(pk: int) -> int:
    merge = Merge.objects.select_for_update(of=("self",)).select_related("goal").get(pk=pk)
    if (task := unbegun(merge.task_id)) is None:
        return 0
    try:
        merging.set_aside(merge, PAUSED)
    except Stale:  # its goal ended in this moment
        return 0
    tasks.cancel(task, by=BY, reason=PAUSED)
    return 1


def unbegun(pk: int | None) -> Task | None:
    """The task, locked so that no agent is given it in this moment; None when one has it: what runs goes on."""
    task = Task.objects.select_for_update().filter(pk=pk or 0).first()
    return task if task is not None and task.status in UNBEGUN else None
