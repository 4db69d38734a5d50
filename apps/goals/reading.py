"""How far a goal is, for its page, for REST and for documents. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet, Sum
from django.utils import timezone

from apps.goals import standing
from apps.goals.backlog import AWAITING_APPROVAL
from apps.goals.course import State
from apps.goals.lifecycle import ACTIVE, GoalStatus
from apps.goals.models import Dependency, Goal, Merge, Plan, Slice
from apps.ledger import accounts
from apps.ledger.lifecycle import ChargeStatus
from apps.ledger.limits import Scope, keys_of
from apps.ledger.models import Charge
from apps.ledger.pricing import CLASSES
from apps.tasks.models import Attempt, Task
from apps.tasks.spending import PURPOSE

MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Step:
    """A slice with how it stands, who has it or had it last, and what became of its newest merge."""

    slice: Slice
    state: State
    why: str = ""
    attempt: Attempt | None = None
    attempts: int = 0
    merge: Merge | None = None

    @property
    def task(self) -> Task | None:
        """The task that does it now."""
        return self.slice.task


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one kind of call came to: micro-USD, calls, and those whose price nobody knows."""

    micro: int = 0
    calls: int = 0
    unpriced: int = 0
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a goal came to: what agents used, and what the hub thought about it."""

    work: Spent = field(default_factory=Spent)
    thinking: Spent = field(default_factory=Spent)

    @property
    def micro(self) -> int:
        """Both together."""
        return self.work.micro + self.thinking.micro


def steps_of(goal: Goal) -> list[Step]:
    """Every slice in order, in a fixed number of queries."""
    slices = standing.slices_of(goal)
    merges = list(goal.merges.select_related("attempt"))
    parts = standing.parts_of(slices, merges)
    tries = Attempt.objects.select_related("agent").order_by("pk")
    tasks = Task.objects.filter(pk__in=[one.task_id for one in slices if one.task_id])
    attempts = {task.pk: list(task.attempts.all()) for task in tasks.prefetch_related(Prefetch("attempts", tries))}
    newest = {merge.slice_id: merge for merge in merges if merge.slice_id is not None}
    return [
        _step(one, part.state, part.why, attempts.get(one.task_id or 0, []), newest.get(one.pk))
        for one, part in zip(slices, parts, strict=True)
    ]


def _step(one: Slice, state: State, why: str, attempts: Sequence[Attempt], merge: Merge | None) -> Step:
    last = attempts[-1] if attempts else None
    return Step(slice=one, state=state, why=why, attempt=last, attempts=len(attempts), merge=merge)


def prerequisite_ids(goal: Goal) -> list[int]:
    """The goals that have to land first."""
    return list(goal.prerequisites.order_by("prerequisite_id").values_list("prerequisite_id", flat=True))


def plan_of(goal: Goal) -> Plan | None:
    """Its plan, or None as long as there is none."""
    return Plan.objects.filter(goal=goal).first()


def cost_of(goal: Goal) -> Cost:
    """In one query."""
    posted = [ChargeStatus.SETTLED, ChargeStatus.UNCERTAIN]
    of_work = Q(purpose=PURPOSE)
    sums: dict[str, Any] = {}
    for name, rows in (("work", of_work), ("thinking", ~of_work)):
        sums[f"{name}_calls"] = Count("pk", filter=rows & Q(corrects__isnull=True))
        sums[f"{name}_micro"] = Sum("cost_micro", filter=rows)
        sums[f"{name}_unpriced"] = Count("pk", filter=rows & Q(cost_micro__isnull=True))
        for each in CLASSES:
            sums[f"{name}_{each}"] = Sum(each, filter=rows)
    found = Charge.objects.filter(goal=str(goal.pk), status__in=posted).aggregate(**sums)
    return Cost(work=_spent(found, "work"), thinking=_spent(found, "thinking"))


def _spent(found: dict[str, Any], name: str) -> Spent:
    return Spent(
        micro=found[f"{name}_micro"] or 0,
        calls=found[f"{name}_calls"],
        unpriced=found[f"{name}_unpriced"],
        tokens=sum(found[f"{name}_{each}"] or 0 for each in CLASSES),
    )


def holds(goals: Sequence[Goal]) -> dict[int, str]:
    """What keeps each of `goals` from going on, in a sentence; nothing for the rest. At most four queries."""
    waiting = [goal.pk for goal in goals if goal.status == GoalStatus.SUBMITTED]
    missing: dict[int, list[Dependency]] = {}
    if waiting:
        links = Dependency.objects.filter(goal__in=waiting, prerequisite__landed_at__isnull=True)
        for link in links.select_related("prerequisite").order_by("prerequisite_id"):
            missing.setdefault(link.goal_id, []).append(link)
    planned = [goal.pk for goal in goals if goal.status == GoalStatus.DECOMPOSING and goal.needs_approval]
    approvable = (
        set(Goal.objects.filter(AWAITING_APPROVAL, pk__in=planned).values_list("pk", flat=True)) if planned else set()
    )
    found = {goal.pk: _hold(goal, missing.get(goal.pk, []), goal.pk in approvable) for goal in goals}
    at_work = [goal.pk for goal in goals if goal.is_own and goal.status == GoalStatus.EXECUTING and not found[goal.pk]]
    if at_work and (spent := _own_share(timezone.now())):
        found |= dict.fromkeys(at_work, spent)
    return {pk: words for pk, words in found.items() if words}


def _own_share(now: datetime) -> str:
    """That what the hub may spend today on goals of its own is used up, in a sentence; empty while it is not."""
    key = dict(keys_of({}, "", now, own=True))[Scope.OWN_DAY]
    return accounts.used_up(Scope.OWN_DAY, key, now)


def _before(link: Dependency) -> str:
    status = "turned down" if link.prerequisite.rejected_at is not None else link.prerequisite.status
    return f"goal {link.prerequisite_id} ({status.replace('_', ' ')})"


def _waits_for(missing: Sequence[Dependency]) -> str:
    """Those that will never be merged first: only a person can help then."""
    lost = [_before(link) for link in missing if link.prerequisite.is_lost]
    if lost:
        what = f"{', '.join(lost[:MOST_NAMED])}{' and others' if len(lost) > MOST_NAMED else ''}"
        return f"Waits for the work of {what}, which will not be merged. Change what it depends on, or cancel it."
    more = " and others" if len(missing) > MOST_NAMED else ""
    return f"Waits until the work of {', '.join(map(_before, missing[:MOST_NAMED]))}{more} is merged."


def _hold(goal: Goal, missing: Sequence[Dependency], approvable: bool) -> str:
    if approvable:
        return "Its plan waits for a person's approval."
    if goal.status == GoalStatus.NEEDS_REVIEW:
        return goal.reason or "A person has to decide."
    if goal.status != GoalStatus.SUBMITTED:
        return "" if goal.is_final else goal.hold
    if missing:
        return _waits_for(missing)
    if goal.repo.paused:
        return f"The repository {goal.repo.slug} is paused."
    return goal.hold or "Waits for its turn."


def merged_parts(goals: Sequence[Goal]) -> dict[int, tuple[int, int]]:
    """How many slices of each of `goals` are merged, of how many. One query."""
    rows = Slice.objects.filter(goal__in=[goal.pk for goal in goals]).order_by().values("goal_id")
    counted = rows.annotate(merged=Count("merged_at"), all=Count("pk"))
    return {row["goal_id"]: (row["merged"], row["all"]) for row in counted}


def needing_people(goals: QuerySet[Goal]) -> QuerySet[Goal]:
    """Those that wait for a person: plans to approve, and what the hub cannot go on with."""
    unfinished = goals.filter(finished_at__isnull=True)  # because that is in an index
    return unfinished.filter(AWAITING_APPROVAL | Q(status=GoalStatus.NEEDS_REVIEW)).order_by("lane", "pk")


def under_way(goals: QuerySet[Goal]) -> QuerySet[Goal]:
    """Those that the hub goes on with by itself."""
    return goals.filter(status__in=ACTIVE, finished_at__isnull=True).exclude(AWAITING_APPROVAL).order_by("lane", "pk")


def backlog(goals: QuerySet[Goal]) -> QuerySet[Goal]:
    """Those that wait for their turn, in the order in which they get it."""
    return goals.filter(status=GoalStatus.SUBMITTED, finished_at__isnull=True).order_by("lane", "pk")


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One of a goal's criteria; `met` is None as long as nobody has judged, `shows` is what the judge points at."""

    words: str
    met: bool | None = None
    shows: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A goal's criteria, each as it was judged last, with the verdict as a whole and what is missing."""

    criteria: Sequence[Criterion]
    passed: bool | None = None
    reason: str = ""
    gaps: Sequence[dict[str, Any]] = ()


def judged(goal: Goal) -> Judged:
    """How the goal was judged last, or what it will be judged by."""
    said: dict[str, Any] = goal.judgement
    if "verdict" not in said:
        return Judged(criteria=[Criterion(words=words) for words in goal.success_criteria])
    criteria = [Criterion(words=row["criterion"], met=row["met"], shows=row["where"]) for row in said["criteria"]]
    return Judged(criteria=criteria, passed=said["verdict"] == "pass", reason=said["reason"], gaps=said["gaps"])
