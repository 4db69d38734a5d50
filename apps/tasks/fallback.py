"""Along the chain of a tier: to the next grade of model when one was not able to, or is not to be had for too long.

A fault of an endpoint or a rate limit moves nothing by itself: the task waits, and waiting in vain widens its choice.
Only when an endpoint is down, and nobody else offers the grade, tasks pass it by at once, and get their own grades back
as soon as somebody offers them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.endpoints.health import Health
from apps.endpoints.models import Endpoint, Model, Origin, RoutingRule
from apps.endpoints.rules import every_rule, rule_of
from apps.events.kinds import Kind
from apps.events.log import record
from apps.ledger import accounts
from apps.ledger.accounts import Exhausted
from apps.ledger.pauses import Paused
from apps.ledger.pricing import Unpriced
from apps.tasks import queue, roster
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.matching import Worker, misfit
from apps.tasks.models import Attempt, Demand, Task
from apps.tasks.routing import MODEL, bypassing, escalated, widened

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
    # the demand it joins in the same statement goes by these; there is no way back from a failure
    task.grades, task.grades_before = list(following), []
    _remember(task, f"{grade} was not able to do it")
    return {"grades": task.grades, "grades_before": []}


@transaction.atomic
def unaffordable(task: int, generation: int, grade: str, refused: Exhausted | Paused | Unpriced) -> None:
    """No budget has room for a model of `grade`, it has no price, or spending is paused: the next grade, or a rest.

    Another grade may cost less money; tokens and calls it needs as well, so without those the task rests.
    """
    why = refused.message
    found = Task.objects.get(pk=task)
    costs_money = not isinstance(refused, Exhausted) or refused.facts["measure"] == "micro"
    following = escalated(grade, rule_of(found.tier).chain) if costs_money else None
    changes: dict[str, Any] = {"last_error": why, "demand": None, "not_before": Now() + PAUSE}
    if following:
        if grade in found.grades_before:  # with its own grade back, it would only be refused again
            found.grades_before = []
        found.grades = list(following)
        changes = {"last_error": why, "grades": found.grades, "grades_before": found.grades_before}
        changes["demand_id"] = queue.demand_of(found)
    still = Task.objects.filter(pk=task, generation=generation, status=TaskStatus.QUEUED, demand__isnull=False)
    if still.update(**changes) and following:
        _remember(found, why)
    if isinstance(refused, Exhausted):
        accounts.remember(refused)


def widen() -> int:
    """Let the next grade have what has waited in vain for the grades before it; the number of tasks that moved on.

    What it asks the database grows with the demands, and with what moves, not with what waits.
    """
    demands = _waiting()
    workers = roster.connected_workers() if demands else []
    in_vain = [demand for demand in demands if not _is_served(demand, workers)]
    _keep_time(in_vain)
    rules = every_rule() if in_vain else {}
    return sum(
        _widen(task, rules[task.tier].chain) for demand in in_vain for task in _over_time(demand, rules.values())
    )


def bypass() -> int:
    """Let what waits for a grade whose endpoint is down have the next grade that can be had; the number of tasks.

    Only when nobody who is there offers the grade, and at once. Each remembers the grades that it had, for `restore`.
    """
    lost = _lost()
    demands = [demand for demand in _waiting() if lost.intersection(demand.grades)] if lost else []
    workers = roster.connected_workers() if demands else []
    in_vain = [demand for demand in demands if not _is_served(demand, workers)]
    rules = every_rule() if in_vain else {}
    return sum(
        _bypass(task, grades)
        for demand in in_vain
        for rule in rules.values()
        if (grades := _around(demand, rule, workers))
        for task in Task.objects.filter(demand=demand, tier=rule.tier).order_by("rank", "id")[:AT_ONCE]
    )


def restore() -> int:
    """Give tasks that still wait their own grades back, now that somebody offers one of them; the number of tasks."""
    demands = [demand for demand in _waiting() if demand.own]
    workers = roster.connected_workers() if demands else []
    back = [demand for demand in demands if _is_served(demand, workers, demand.own)]
    return sum(
        _restore(task)
        for demand in back
        for task in Task.objects.filter(demand=demand).order_by("rank", "id")[:AT_ONCE]
    )


def _waiting() -> list[Demand]:
    """The demands for models in which something waits."""
    waiting = Exists(Task.objects.filter(demand=OuterRef("pk")))
    return list(Demand.objects.filter(waiting, executor=MODEL).order_by("pk"))


def _is_served(demand: Demand, workers: Sequence[Worker], grades: Sequence[str] | None = None) -> bool:
    """Whether somebody who is there, busy or not, can do what waits there, or could if it had these `grades`."""
    need = roster.need_of(demand)
    if grades is not None:
        need = replace(need, grades=tuple(grades))
    return any(not misfit(need, worker) for worker in workers)


def _around(demand: Demand, rule: RoutingRule, workers: Sequence[Worker]) -> tuple[str, ...] | None:
    return bypassing(demand.grades, rule.chain, lambda grades: _is_served(demand, workers, grades))


def _lost() -> set[str]:
    """The grades of models that agents who are there would have, were their endpoints not down.

    What only machines had that are gone themselves is not among them: they may be back in a moment.
    """
    down = Endpoint.objects.filter(health=Health.DOWN, draining=False)
    if not down.exists():
        return set()
    ours = Model.objects.filter(endpoint__in=down.ours(), wanted=True, installed=True)
    there = Agent.objects.available()
    told = Q(endpoint__told_by__in=there.values("name")) | Q(endpoint__host__in=there.values("host"))
    theirs = Model.objects.filter(told, endpoint__in=down.filter(origin=Origin.AGENT), installed=True)
    return {*ours.values_list("endpoint__grade", flat=True), *theirs.values_list("grade", flat=True)} - {""}


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


def _widen(task: Task, chain: Sequence[str]) -> int:
    """1 when it moved on, 0 when it had been taken or somebody else was faster."""
    before = task.grades
    why = f"no machine offers {' or '.join(before)}" if before else "it had no grade yet"
    return _move(task, widened(before, chain) or before, own=task.grades_before, why=why)


def _bypass(task: Task, grades: Sequence[str]) -> int:
    """The same. One that passes by a second time still remembers what it had at first."""
    own = task.grades_before or task.grades
    return _move(task, grades, own=own, why=f"an endpoint is down, and nobody else offers {' or '.join(task.grades)}")


def _restore(task: Task) -> int:
    """The same, for the way back."""
    own = task.grades_before
    return _move(task, own, own=(), why=f"{' or '.join(own)} can be had again")


@transaction.atomic
def _move(task: Task, grades: Sequence[str], *, own: Sequence[str], why: str) -> int:
    """Only while it stands where it was found: an assignment, or another mover, may have come first."""
    task.grades, task.grades_before = list(grades), list(own)
    still = Task.objects.filter(pk=task.pk, status=TaskStatus.QUEUED, demand=task.demand_id)
    there = queue.demand_of(task)
    if not still.update(grades=task.grades, grades_before=task.grades_before, demand_id=there):
        return 0
    _remember(task, why)
    return 1


def _remember(task: Task, why: str) -> None:
    record(Kind.TASK_REROUTED, task, tell=["dashboard", task.group], grades=list(task.grades), reason=why)
