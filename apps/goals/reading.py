"""How far a goal is, for its page, for REST and for documents. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Prefetch, Q, Sum

from apps.goals import standing
from apps.goals.course import State
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Dependency, Goal, Merge, Plan, Slice
from apps.ledger.lifecycle import ChargeStatus
from apps.ledger.models import Charge
from apps.ledger.pricing import CLASSES
from apps.tasks.models import Attempt, Task
from apps.tasks.spending import PURPOSE


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


def waits_for(goal: Goal) -> str:
    """What keeps it from going on, in a sentence; empty when nothing does."""
    if goal.awaits_approval and plan_of(goal) is not None:
        return "Its plan waits for a person's approval."
    if goal.status == GoalStatus.NEEDS_REVIEW:
        return goal.reason or "A person has to decide."
    if goal.status != GoalStatus.SUBMITTED:
        return "" if goal.is_final else goal.hold
    before = Dependency.objects.filter(goal=goal, prerequisite__landed_at__isnull=True).order_by("prerequisite_id")
    missing = list(before.values_list("prerequisite_id", "prerequisite__status")[:4])
    if missing:
        named = ", ".join(f"goal {pk} ({status.replace('_', ' ')})" for pk, status in missing[:3])
        more = " and others" if len(missing) > 3 else ""
        return f"Waits until the work of {named}{more} is merged."
    if goal.repo.paused:
        return f"The repository {goal.repo.slug} is paused."
    return goal.hold or "Waits for its turn."


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
    """How the goal was judged, however far that went."""
    said: dict[str, Any] = goal.judgement or {}
    rows = list(said.get("criteria") or [])
    rows += [None] * (len(goal.success_criteria) - len(rows))
    criteria = [_criterion(words, row) for words, row in zip(goal.success_criteria, rows, strict=False)]
    passed = said.get("passed", said["verdict"] == "pass" if "verdict" in said else None)
    gaps = [gap if isinstance(gap, dict) else {"description": str(gap)} for gap in said.get("gaps") or []]
    return Judged(criteria=criteria, passed=passed, reason=str(said.get("reason", "")), gaps=gaps)


def _criterion(words: str, row: Any) -> Criterion:
    if isinstance(row, dict):
        shows = row.get("shows") or row.get("evidence") or row.get("reason") or ""
        return Criterion(words=words, met=bool(row.get("met")), shows=str(shows))
    if isinstance(row, list | tuple) and len(row) == 2:
        return Criterion(words=words, met=bool(row[0]), shows=str(row[1]))
    return Criterion(words=words)
