"""Reads agents and the heads of the queue into the plain values that `matching` decides over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet

from apps.agents.models import Agent
from apps.tasks.matching import Head, Need, Worker, misfit
from apps.tasks.models import Attempt, Demand, Task

CHUNK = 64


def idle_workers() -> Iterator[list[Worker]]:
    """Agents that are there and hold nothing, least recently used first, in chunks of `CHUNK`."""
    busy = Attempt.objects.open().filter(agent=OuterRef("pk"))
    idle = Agent.objects.available().filter(~Exists(busy))
    workers = _workers(idle.order_by(F("last_assigned_at").asc(nulls_first=True), "id"))
    while chunk := list(islice(workers, CHUNK)):
        yield chunk


def connected_workers() -> list[Worker]:
    """Every agent that is there, idle or not."""
    return list(_workers(Agent.objects.available().order_by("id")))


def heads(idle: list[Worker]) -> list[Head]:
    """For each need that one of `idle` can serve: the tasks at its front, at most as many as there are agents."""
    found: list[Head] = []
    running: Mapping[int, int] | None = None
    for demand in _nonempty_demands():
        need = Need(demand.executor, frozenset(demand.capabilities), demand.repo_id, demand.target_id, demand.avoid_id)
        able = sum(1 for worker in idle if not misfit(need, worker))
        if not able:
            continue
        room = None
        if demand.repo is not None and demand.repo.max_running is not None:
            running = running if running is not None else _running_by_repo()
            room = max(0, demand.repo.max_running - running.get(demand.repo.pk, 0))
            if room == 0:
                continue
        front = Task.objects.filter(demand=demand.pk).order_by("rank", "id").values_list("pk", "generation", "rank")
        found += [Head(pk, generation, rank, need, room) for pk, generation, rank in front[:able]]
    return found


def need_of(task: Task) -> Need:
    """What `task` asks of an agent."""
    return Need(task.executor, frozenset(task.capabilities), task.repo_id, task.target_id, task.avoid_id)


def _nonempty_demands() -> QuerySet[Demand]:
    """Demands with a queued task whose repository is not paused. One index probe each; the queue itself is not read."""
    waiting = Exists(Task.objects.filter(demand=OuterRef("pk")))
    return Demand.objects.filter(waiting).exclude(repo__paused=True).select_related("repo")


def _running_by_repo() -> Mapping[int, int]:
    counts = Attempt.objects.open().filter(repo__isnull=False).values_list("repo").annotate(n=Count("pk"))
    return dict(counts.order_by())


def _workers(agents: QuerySet[Agent]) -> Iterator[Worker]:
    facts = agents.values_list("pk", "name", "executors", "capabilities", "restricted")
    for pk, name, executors, capabilities, restricted in facts:
        repos = frozenset(_repos_of(pk)) if restricted else None
        yield Worker(pk, name, frozenset(executors), frozenset(capabilities), repos)


def _repos_of(agent: int) -> QuerySet[Any, int]:
    return Agent.repos.through.objects.filter(agent_id=agent).values_list("repo_id", flat=True)
