"""Who gets which task. Plain values in, plain values out; reads nothing, knows no clock.

The caller hands in the heads of the demands (the tasks that are next in line for each distinct need) and the idle
agents, least recently used first. Cost depends on how many agents are idle and how many different needs there are,
never on how many tasks wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apps.endpoints.strain import ALIKE

MAX_LOSERS = 10
"""How many rejected candidates a stored decision names; the rest are only counted."""


@dataclass(frozen=True)
class Place:
    """Where models answer, as things stand. `load` is how much it has to do, in `words`; a lower `turn` rested longer.

    `closed` says why it gets no work, and is empty for one that does. Only one that an operator added is `shared`.
    """

    id: int
    name: str
    load: float = 0.0
    words: str = ""
    turn: int = 0
    closed: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Offer:
    """A model that an agent can work with: in tokens a second, 0 when never measured; `warm` when it is loaded.

    `place` is None for what answers nowhere, such as a command; `url` is what the agent calls it.
    """

    executor: str
    model: str
    grade: str
    speed: float = 0.0
    warm: bool = False
    place: Place | None = None
    url: str = ""

    @property
    def closed(self) -> str:
        """Why this cannot be had now, or nothing."""
        return self.place.closed if self.place else ""

    @property
    def words(self) -> str:
        """The model and where it answers."""
        return f"{self.model} at {self.place.name}" if self.place else self.model


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
        if lack := _lack(need, worker):
            return lack
    elif need.executor not in worker.executors:
        return f"offers no {need.executor} executor"
    if missing := need.capabilities - worker.capabilities:
        return f"lacks {', '.join(sorted(missing))}"
    if need.repo is not None and worker.repos is not None and need.repo not in worker.repos:
        return "may not work in this repository"
    return ""


def _lack(need: Need, worker: Worker) -> str:
    """Why no model of `worker` can be had for `need`, or nothing when one can."""
    of_grade = [offer for offer in worker.offers if offer.grade in need.grades]
    if not of_grade:
        return f"offers no {' or '.join(need.grades)} model"
    if any(not offer.closed for offer in of_grade):
        return ""
    return f"has {of_grade[0].words}, which {of_grade[0].closed}"


@dataclass
class _Board:
    """What is still free as pairs are made: agents, room in each repository; and what each endpoint was given."""

    idle: list[Worker]
    room: dict[int, int] = field(default_factory=dict)
    given: Counter[int] = field(default_factory=Counter)

    def has_room(self, head: Head) -> bool:
        repo = head.need.repo
        return repo is None or head.room is None or self.room.setdefault(repo, head.room) > 0

    def take(self, head: Head, pair: Pair) -> None:
        self.idle.remove(pair.worker)
        if head.need.repo is not None and head.room is not None:
            self.room[head.need.repo] -= 1
        if pair.offer and pair.offer.place:
            self.given[pair.offer.place.id] += 1

    def load(self, offer: Offer) -> float:
        """How much the offer's endpoint has to do, with what it was given just now."""
        return offer.place.load + self.given[offer.place.id] if offer.place else 0.0

    def turn(self, offer: Offer) -> tuple[int, int]:
        """Lower was used longer ago."""
        return (self.given[offer.place.id], offer.place.turn) if offer.place else (0, 0)


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
        if board.has_room(head) and (found := _choose(head, board, connected)):
            board.take(head, found)
            made.append(found)
    return made


def _choose(head: Head, board: _Board, connected: Sequence[Worker]) -> Pair | None:
    need = head.need
    refused = {worker.id: misfit(need, worker) or _conflict(need, worker, connected) for worker in board.idle}
    fitting = [worker for worker in board.idle if not refused[worker.id]]
    if not fitting:
        return None
    offer: Offer | None = None
    chosen, more = fitting[0], []
    if need.grades:
        chosen, offer = _best(need, fitting, board)
        more = [(chosen.name, why) for other in chosen.offers if (why := _passed_over(need, other, offer, board))]
    losers = [
        (worker.name, refused[worker.id] or _second(need, worker, offer, board))
        for worker in board.idle
        if worker is not chosen
    ] + more
    left = max(0, len(losers) - MAX_LOSERS)
    return Pair(head, chosen, _reasons(need, chosen, offer), tuple(losers[:MAX_LOSERS]), left, offer)


def _best(need: Need, workers: Sequence[Worker], board: _Board) -> tuple[Worker, Offer]:
    """Of the preferred grade that can be had; of those where there is least to do; of equals who waited longest.

    Its own model goes before one that it shares with others, then the endpoint that was used longest ago.
    """
    can = [(worker, offer) for worker in workers for offer in _can_have(need, worker)]
    first = min(_rank(need, offer) for _, offer in can)
    can = [(worker, offer) for worker, offer in can if _rank(need, offer) == first]
    least = min(board.load(offer) for _, offer in can) + ALIKE
    alike = [(worker, offer) for worker, offer in can if board.load(offer) <= least]
    chosen = alike[0][0]
    return chosen, min((offer for worker, offer in alike if worker is chosen), key=lambda offer: _taste(offer, board))


def _can_have(need: Need, worker: Worker) -> list[Offer]:
    return [offer for offer in worker.offers if offer.grade in need.grades and not offer.closed]


def _rank(need: Need, offer: Offer) -> int:
    """How far down the preferences of `need` it stands."""
    return need.grades.index(offer.grade)


def _taste(offer: Offer, board: _Board) -> tuple[bool, tuple[int, int], bool, float, str]:
    shared = offer.place is not None and offer.place.shared
    return shared, board.turn(offer), not offer.warm, -offer.speed, offer.model


def _second(need: Need, worker: Worker, chosen: Offer | None, board: _Board) -> str:
    """Why an agent that fits was not taken."""
    if chosen is None:
        return "was used more recently"
    reasons = {_worse(need, offer, chosen, board) for offer in _can_have(need, worker)}
    return "was used more recently" if "" in reasons else min(reasons)


def _passed_over(need: Need, offer: Offer, chosen: Offer, board: _Board) -> str:
    """Why the chosen agent uses another of its models, or nothing for that one and for what is not meant anyway."""
    if offer is chosen or offer.grade not in need.grades:
        return ""
    if offer.closed:
        return f"{offer.words} {offer.closed}"
    return _worse(need, offer, chosen, board) or f"{offer.words} comes after {chosen.words}"


def _worse(need: Need, offer: Offer, chosen: Offer, board: _Board) -> str:
    if _rank(need, offer) > _rank(need, chosen):
        return "has only a model of a later choice"
    if offer.place and board.load(offer) > board.load(chosen) + ALIKE:
        given = board.given[offer.place.id]
        return f"{offer.words} has more to do ({offer.place.words}{f', {given} just given' if given else ''})"
    return ""


def _conflict(need: Need, worker: Worker, connected: Sequence[Worker]) -> str:
    if need.avoid != worker.id:
        return ""
    if any(other.id != worker.id and not misfit(need, other) for other in connected):
        return "wrote what is to be verified, and another agent can do it"
    return ""


def _reasons(need: Need, worker: Worker, offer: Offer | None) -> tuple[str, ...]:
    if offer:
        at = f" at {offer.place.name}" if offer.place and offer.place.shared else ""
        reasons = [f"offers {offer.model} ({offer.grade}) through {offer.executor}{at}"]
        if offer.place and offer.place.words:
            reasons.append(f"has no more to do there than others: {offer.place.words}")
    else:
        reasons = [f"offers the {need.executor} executor"]
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
