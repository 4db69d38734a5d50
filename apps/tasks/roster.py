"""Reads agents, endpoints and the heads of the queue into the plain values that `matching` decides over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, QuerySet
from django.utils import timezone

from apps.agents.models import Agent
from apps.endpoints.health import Health
from apps.endpoints.models import Endpoint, Host, Origin
from apps.endpoints.strain import FRESH, strain
from apps.events.prepared import Prepared
from apps.tasks.matching import Head, Need, Offer, Place, Worker, misfit
from apps.tasks.models import Attempt, Demand, Task

CHUNK = 64
LONG_AGO = datetime.min.replace(tzinfo=UTC)
FIRST_LOOK = 8
"""How many idle agents are read at first; mostly there is one task to give, and one of these can do it."""


def _idle(limit: int) -> Prepared:
    def build() -> QuerySet[Agent, Any]:
        busy = Attempt.objects.open().filter(agent=OuterRef("pk"))
        idle = Agent.objects.available().filter(~Exists(busy))
        in_turn = idle.order_by(F("last_assigned_at").asc(nulls_first=True), "id")
        return in_turn.values_list(*WORKER)[:limit]

    return Prepared(build)


WORKER = ("pk", "name", "executors", "capabilities", "restricted", "offers")
_FIRST_IDLE, _ALL_IDLE = _idle(FIRST_LOOK), _idle(1_000_000)


def _nonempty() -> QuerySet[Demand, Any]:
    """Demands with a queued task whose repository is not paused. One index probe each; the queue itself is not read."""
    waiting = Exists(Task.objects.filter(demand=OuterRef("pk")))
    facts = ("pk", "executor", "capabilities", "repo", "target", "avoid", "repo__max_running", "grades")
    return Demand.objects.filter(waiting).exclude(repo__paused=True).values_list(*facts)


def _front(demand: int) -> QuerySet[Task, Any]:
    """The tasks that are next in line for one demand."""
    in_line = Task.objects.filter(demand=demand).order_by("rank", "id")
    return in_line.values_list("pk", "generation", "rank")[:CHUNK]


_NONEMPTY, _FRONT = Prepared(_nonempty), Prepared(_front, demand=int)


def idle_workers(*, for_models: bool = False) -> Iterator[list[Worker]]:
    """Agents that are there and hold nothing, least recently used first: a few, then all that still are, in chunks.

    All together, each with how its endpoints stand, when they are chosen `for_models` that they offer.
    """
    if for_models:
        yield standing([_worker(row) for row in _ALL_IDLE.rows()])
        return
    first = [_worker(row) for row in _FIRST_IDLE.rows()]
    if first:
        yield first
    if len(first) == FIRST_LOOK:
        rest = (_worker(row) for row in _ALL_IDLE.rows())
        while chunk := list(islice(rest, CHUNK)):
            yield chunk


def connected_workers() -> list[Worker]:
    """Every agent that is there, idle or not."""
    return standing([_worker(row) for row in _CONNECTED.rows()])


_CONNECTED = Prepared(lambda: Agent.objects.available().order_by("id").values_list(*WORKER))


Waiting = list[tuple[Any, ...]]


def waiting() -> Waiting:
    """The demands that have a queued task, for `heads`; mostly there is none, and then nothing else need be read."""
    return _NONEMPTY.rows()


def needs_models(demands: Waiting) -> bool:
    """Whether something that waits needs a model: it would rather have one agent than another that also fits."""
    return any(_in_order(grades) for *_, grades in demands)


def heads(demands: Waiting, idle: list[Worker]) -> list[Head]:
    """For each need that one of `idle` can serve: the tasks at its front, at most as many as there are agents."""
    found: list[Head] = []
    running: Mapping[int, int] | None = None
    for pk, executor, capabilities, repo, target, avoid, max_running, grades in demands:
        need = Need(executor, _words(capabilities), repo, target, avoid, _in_order(grades))
        able = sum(1 for worker in idle if not misfit(need, worker))
        if not able:
            continue
        room = None
        if max_running is not None:
            running = running if running is not None else _running_by_repo()
            room = max(0, max_running - running.get(repo, 0))
            if room == 0:
                continue
        front = _FRONT.rows(demand=pk, at_most=able)
        found += [Head(task, generation, rank, need, room) for task, generation, rank in front]
    return found


def need_of(task: Task | Demand) -> Need:
    """What `task`, or each task of a demand, asks of an agent."""
    return Need(
        task.executor, frozenset(task.capabilities), task.repo_id, task.target_id, task.avoid_id, tuple(task.grades)
    )


def _running_by_repo() -> Mapping[int, int]:
    counts = Attempt.objects.open().filter(repo__isnull=False).values_list("repo").annotate(n=Count("pk"))
    return dict(counts.order_by())


def _worker(row: tuple[Any, ...]) -> Worker:
    pk, name, executors, capabilities, restricted, offers = row
    repos = _repos_of(pk) if restricted else None
    return Worker(pk, name, _words(executors), _words(capabilities), repos, _offers(offers))


@lru_cache(maxsize=4_096)
def _words(stored: str) -> frozenset[str]:
    """A stored JSON list of words as a set; few distinct ones are ever stored."""
    return frozenset(json.loads(stored))


@lru_cache(maxsize=4_096)
def _in_order(stored: str) -> tuple[str, ...]:
    return tuple(json.loads(stored))


@lru_cache(maxsize=4_096)
def _offers(stored: str) -> tuple[Offer, ...]:
    return tuple(_offer(offer) for offer in json.loads(stored))


def _offer(stored: Mapping[str, Any]) -> Offer:
    """With no more than the number of its place; `standing` knows the rest."""
    return Offer(
        stored["executor"],
        stored["model"],
        stored["grade"],
        stored["tokens_per_second"],
        stored.get("warm", False),
        Place(stored["endpoint"], "", shared=stored.get("shared", False)) if stored.get("endpoint") else None,
        stored.get("url", ""),
    )


def standing(workers: list[Worker]) -> list[Worker]:
    """The same, their offers with how each one's endpoint stands now. Two small queries, none without endpoints."""
    numbers = {offer.place.id for worker in workers for offer in worker.offers if offer.place}
    if not numbers:
        return workers
    places = _Places(numbers)
    return [replace(worker, offers=tuple(map(places.offer, worker.offers))) for worker in workers]


class _Places:
    """The endpoints of these numbers, read once."""

    def __init__(self, numbers: set[int]) -> None:
        self._rows = {row.pk: row for row in Endpoint.objects.filter(pk__in=numbers).select_related("host")}
        used = sorted(self._rows.values(), key=lambda row: (row.last_used_at or LONG_AGO, row.pk))
        self._turns = {row.pk: turn for turn, row in enumerate(used)}
        open_there = Attempt.objects.open().filter(endpoint__isnull=False).values_list("endpoint").order_by()
        self._running = dict(open_there.annotate(n=Count("pk")))
        self._now = timezone.now()

    def offer(self, offer: Offer) -> Offer:
        if offer.place is None:
            return offer
        row = self._rows.get(offer.place.id)
        if row is None:  # an agent's own works without an entry; an operator's that is gone is not to be used
            gone = Place(offer.place.id, offer.url, closed="was removed") if offer.place.shared else None
            return replace(offer, place=gone)
        busy = strain(
            running=self._running.get(row.pk, 0),
            warm=offer.warm or offer.executor != "ollama",
            load=self._load(row.host),
            memory_bytes=row.host.memory_bytes if row.host else 0,
        )
        shared = row.origin == Origin.OPERATOR
        place = Place(row.pk, str(row), busy.score, busy.words, self._turns[row.pk], _closed(row), shared)
        return replace(offer, place=place)

    def _load(self, host: Host | None) -> Mapping[str, Any] | None:
        fresh = host is not None and host.measured_at is not None and self._now - host.measured_at < FRESH
        return host.load if host is not None and fresh else None


def _closed(endpoint: Endpoint) -> str:
    """Only an operator's word and the hub's own look close one; of their own, agents withdraw the offers."""
    if endpoint.draining:
        return "is being drained"
    return "is down" if endpoint.origin == Origin.OPERATOR and endpoint.health == Health.DOWN else ""


def _repos_of(agent: int) -> frozenset[int]:
    return frozenset(Agent.repos.through.objects.filter(agent_id=agent).values_list("repo_id", flat=True))
