"""Who gets which task. Plain values in, plain values out; reads nothing, knows no clock.

The caller hands in the heads of the demands (the tasks that are next in line for each distinct need) and the idle
agents, least recently used first. Cost depends on how many agents are idle and how many different needs there are,
never on how many tasks wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MAX_LOSERS = 10
"""How many rejected candidates a stored decision names; the rest are only counted."""


@dataclass(frozen=True)
class Offer:
    """A model that an agent can work with: in tokens a second, 0 when never measured; `warm` when it is loaded."""

    executor: str
    model: str
    grade: str
    speed: float = 0.0
    warm: bool = False


@dataclass(frozen=True)
class Worker:
    """An agent as the matcher sees it; `repos` is None when it may work in any repository."""

    id: int
    name: str
    executors: frozenset[str]
    capabilities: frozenset[str]
    repos: frozenset[int] | None = None
    offers: tuple[Offer, ...] = ()


@dataclass(frozen=True)
class Need:
    """What a task asks for; `avoid` is the agent whose work it has to judge.

    `grades` are those of the models that may do a task in words, the preferred first; nothing else has any.
    """

    executor: str
    capabilities: frozenset[str] = frozenset()
    repo: int | None = None
    target: int | None = None
    avoid: int | None = None
    grades: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """A task at the front of its demand. Lower `rank` goes first; `room` is how many more its repo may run."""

    task: int
    generation: int
    rank: float
    need: Need
    room: int | None = None


@dataclass(frozen=True)
class Pair:
    """One decision: `head` goes to `worker`, for these reasons, and these others were not chosen."""

    head: Head
    worker: Worker
    reasons: tuple[str, ...]
    losers: tuple[tuple[str, str], ...] = ()
    more_losers: int = 0
    offer: Offer | None = None


def misfit(need: Need, worker: Worker) -> str:
    """Why `worker` cannot do what `need` asks, or nothing when it can. Avoidance is not a misfit: see `pair`."""
    if need.target is not None and need.target != worker.id:
        return "the task is meant for another agent"
    if need.grades:
        if offer_of(need, worker) is None:
            return f"offers no {' or '.join(need.grades)} model"
    elif need.executor not in worker.executors:
        return f"offers no {need.executor} executor"
    if missing := need.capabilities - worker.capabilities:
        return f"lacks {', '.join(sorted(missing))}"
    if need.repo is not None and worker.repos is not None and need.repo not in worker.repos:
        return "may not work in this repository"
    return ""


def offer_of(need: Need, worker: Worker) -> Offer | None:
    """The model of `worker` that `need` would have: of the preferred grade; of those a loaded one, then the fastest.

    Between machines it does not count what is loaded: the first to work would get everything.
    """
    fitting = [offer for offer in worker.offers if offer.grade in need.grades]
    return min(
        fitting,
        key=lambda offer: (need.grades.index(offer.grade), not offer.warm, -offer.speed, offer.model),
        default=None,
    )


@dataclass
class _Board:
    """The agents still free and the room still left in each repository, as pairs are made."""

    idle: list[Worker]
    room: dict[int, int] = field(default_factory=dict)

    def has_room(self, head: Head) -> bool:
        repo = head.need.repo
        return repo is None or head.room is None or self.room.setdefault(repo, head.room) > 0

    def take(self, head: Head, worker: Worker) -> None:
        self.idle.remove(worker)
        if head.need.repo is not None and head.room is not None:
            self.room[head.need.repo] -= 1


def pair(heads: Iterable[Head], idle: Sequence[Worker], connected: Sequence[Worker] = ()) -> list[Pair]:
    """Pairs in the order of rank; at most one task an agent, at most `room` tasks a repository.

    `idle` is ordered by who has waited longest, which spreads work over equals. `connected` are all agents that are
    there, idle or not: a task that avoids its author waits for another of them and goes to the author only when no
    other could ever take it.
    """
    board = _Board(list(idle))
    made: list[Pair] = []
    for head in sorted(heads, key=lambda head: (head.rank, head.task)):
        if not board.idle:
            break
        if board.has_room(head) and (found := _choose(head, board.idle, connected)):
            board.take(head, found.worker)
            made.append(found)
    return made


def _choose(head: Head, idle: Sequence[Worker], connected: Sequence[Worker]) -> Pair | None:
    refused = {worker.id: misfit(head.need, worker) or _conflict(head.need, worker, connected) for worker in idle}
    fitting = [worker for worker in idle if not refused[worker.id]]
    if not fitting:
        return None
    chosen = min(fitting, key=lambda worker: _place(head.need, worker)) if head.need.grades else fitting[0]
    losers = [
        (worker.name, refused[worker.id] or _second(head.need, worker, chosen))
        for worker in idle
        if worker is not chosen
    ]
    return Pair(
        head,
        chosen,
        _reasons(head.need, chosen),
        tuple(losers[:MAX_LOSERS]),
        max(0, len(losers) - MAX_LOSERS),
        offer_of(head.need, chosen),
    )


def _place(need: Need, worker: Worker) -> int:
    """How far down the preferences the best model of `worker` stands; equals keep their order, longest idle first."""
    offer = offer_of(need, worker)
    return need.grades.index(offer.grade) if offer else len(need.grades)


def _second(need: Need, worker: Worker, chosen: Worker) -> str:
    if need.grades and _place(need, worker) > _place(need, chosen):
        return "has only a model of a later choice"
    return "was used more recently"


def _conflict(need: Need, worker: Worker, connected: Sequence[Worker]) -> str:
    if need.avoid != worker.id:
        return ""
    if any(other.id != worker.id and not misfit(need, other) for other in connected):
        return "wrote what is to be verified, and another agent can do it"
    return ""


def _reasons(need: Need, worker: Worker) -> tuple[str, ...]:
    offer = offer_of(need, worker)
    reasons = [
        f"offers {offer.model} ({offer.grade}) through {offer.executor}"
        if offer
        else f"offers the {need.executor} executor"
    ]
    if need.capabilities:
        reasons.append(f"has {', '.join(sorted(need.capabilities))}")
    if need.target is not None:
        reasons.append("is the agent that was asked for")
    if need.avoid is not None:
        reasons.append("wrote it itself; no other agent can verify" if need.avoid == worker.id else "is not the author")
    fit = f"with a {offer.grade} model" if offer else "that fit"
    reasons.append(f"has waited longest among the idle agents {fit}")
    return tuple(reasons)


def explain(need: Need, connected: Mapping[int, Worker]) -> str:
    """Why a task waits, in one sentence, given every connected agent."""
    if not connected:
        return "No agent is connected."
    reasons = {worker.name: misfit(need, worker) for worker in connected.values()}
    if any(not reason for reason in reasons.values()):
        return "Every agent that fits is busy."
    return (
        "No connected agent fits: " + "; ".join(f"{name} {reason}" for name, reason in list(reasons.items())[:5]) + "."
    )
