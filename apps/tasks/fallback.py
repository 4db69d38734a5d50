"""Along the chain of a tier: to the next grade of model when one was not able to, or is not to be had for too long.

A fault of an endpoint or a rate limit moves nothing by itself: the task waits, and waiting in vain widens its choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from apps.endpoints.models import RoutingRule
from apps.endpoints.rules import every_rule, rule_of
from apps.events.kinds import Kind
from apps.events.log import record
from apps.ledger import accounts
from apps.ledger.accounts import Exhausted
from apps.ledger.pauses import Paused
from apps.ledger.pricing import Unpriced
from apps.tasks import queue, roster
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.matching import misfit
from apps.tasks.models import Attempt, Demand, Task
from apps.tasks.routing import MODEL, escalated, widened

UNABLE = (Outcome.FAILED, Outcome.UNVERIFIED)
AT_ONCE = 200
PAUSE = timedelta(minutes=1)
"""So long a task rests that no budget has room for, before it is looked at again."""


def after_failure(task: Task, attempt: int, outcome: Outcome) -> dict[str, Any]:
    """What changes on a task whose model was not able to do it: it goes to the next grade, when there is one."""
    if task.executor != MODEL or outcome not in UNABLE:
        return {}
    grade = Attempt.objects.values_list("grade", flat=True).get(pk=attempt)
    following = escalated(grade, rule_of(task.tier).chain)
    if following is None:
        return {}
    task.grades = list(following)  # the demand it joins in the same statement goes by this
    _remember(task, f"{grade} was not able to do it")
    return {"grades": task.grades}


@transaction.atomic
def unaffordable(task: int, generation: int, grade: str, refused: Exhausted | Paused | Unpriced) -> None:
    """No budget has room for a model of `grade`, it has no price, or spending is paused: the next grade, or a rest."""
    why = refused.message
    found = Task.objects.get(pk=task)
    following = escalated(grade, rule_of(found.tier).chain)
    changes: dict[str, Any] = {"last_error": why, "demand": None, "not_before": Now() + PAUSE}
    if following:
        found.grades = list(following)
        changes = {"last_error": why, "grades": found.grades, "demand_id": queue.demand_of(found)}
    still = Task.objects.filter(pk=task, generation=generation, status=TaskStatus.QUEUED, demand__isnull=False)
    if still.update(**changes) and following:
        _remember(found, why)
    if isinstance(refused, Exhausted):
        accounts.remember(refused)


def widen() -> int:
    """Let the next grade have what has waited in vain for the grades before it; the number of tasks that moved on.

    What it asks the database grows with the demands, and with what moves, not with what waits.
    """
    waiting = Exists(Task.objects.filter(demand=OuterRef("pk")))
    demands = list(Demand.objects.filter(waiting, executor=MODEL).order_by("pk"))
    workers = roster.connected_workers() if demands else []
    in_vain = [demand for demand in demands if all(misfit(roster.need_of(demand), worker) for worker in workers)]
    _keep_time(in_vain)
    rules = every_rule() if in_vain else {}
    return sum(
        _widen(task, rules[task.tier].chain) for demand in in_vain for task in _over_time(demand, rules.values())
    )


def _keep_time(in_vain: Iterable[Demand]) -> None:
    """Since when each is in vain. An agent that is gone for a moment, or a hub that was, sends no old task onwards."""
    now = {demand.pk for demand in in_vain}
    before = set(Demand.objects.filter(in_vain_since__isnull=False).values_list("pk", flat=True))
    if begun := now - before:
        Demand.objects.filter(pk__in=begun).update(in_vain_since=Now())
    if over := before - now:
        Demand.objects.filter(pk__in=over).update(in_vain_since=None)


def _over_time(demand: Demand, rules: Iterable[RoutingRule]) -> Iterable[Task]:
    """Tasks that waited a turn for each grade they may have, the last of them in vain, and whose chain goes on."""
    over = Q(pk__in=[])
    for rule in rules:
        if widened(demand.grades, rule.chain):
            turn = timedelta(seconds=rule.wait_seconds)
            vain = Q(queued_at__lte=Now() - turn * len(demand.grades), demand__in_vain_since__lte=Now() - turn)
            over |= Q(tier=rule.tier) & vain
    return Task.objects.filter(over, demand=demand).order_by("rank", "id")[:AT_ONCE]


@transaction.atomic
def _widen(task: Task, chain: Sequence[str]) -> int:
    """1 when it moved on, 0 when it had been taken or somebody else was faster."""
    before = task.grades
    task.grades = list(widened(before, chain) or before)
    still = Task.objects.filter(pk=task.pk, status=TaskStatus.QUEUED, demand=task.demand_id)
    if not still.update(grades=task.grades, demand_id=queue.demand_of(task)):
        return 0
    _remember(task, f"no machine offers {' or '.join(before)}" if before else "it had no grade yet")
    return 1


def _remember(task: Task, why: str) -> None:
    record(Kind.TASK_REROUTED, task, tell=["dashboard", task.group], grades=list(task.grades), reason=why)
