"""Which executor a task needs, and which grades of model may have it now. Pure.

A route is decided when the task enters the queue; which model of which machine does it is decided when it is assigned,
and kept with the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

MODEL = "model"
"""The executor of a task in words: whatever offers a model of a grade that it may have."""


@dataclass(frozen=True)
class Route:
    """`executor` is what an agent must offer, `grades` which models; `reason` is the sentence that its page shows."""

    executor: str
    reason: str
    grades: tuple[str, ...] = ()


def route(*, kind: str, command: str, tier: str, chain: Sequence[str] = ()) -> Route:
    """A verification is verified, a command is run by the shell, and words need a model, however simple they look."""
    if kind == "verification":
        return Route("verify", "The checks are repeated on a clean checkout.")
    if command:
        return Route("shell", "The task brings its own command, which costs no tokens.")
    first = tuple(chain[:1])
    named = f"; the first choice is {first[0]}" if first else ""
    return Route(MODEL, f"The task is described in words ({tier}) and needs a model{named}.", first)


def widened(grades: Sequence[str], chain: Sequence[str]) -> tuple[str, ...] | None:
    """With one more grade of the chain, for none of `grades` is to be had; None when they are the whole chain already.

    At the end of the chain come those that were passed over: a model that was not able to do it may try once more,
    which is better than to wait for ever for one that is not there.
    """
    following = _after(grades, chain) or next((grade for grade in chain if grade not in grades), None)
    return (*grades, following) if following else None


def bypassing(
    grades: Sequence[str], chain: Sequence[str], can_be_had: Callable[[tuple[str, ...]], bool]
) -> tuple[str, ...] | None:
    """With as many of the grades behind `grades` as it takes until one can be had; None when none of them can.

    Never with one that stands before them: it may have been passed over because it was not able to.
    """
    wider = tuple(grades)
    while following := _after(wider, chain):
        wider = (*wider, following)
        if can_be_had(wider):
            return wider
    return None


def escalated(grade: str, chain: Sequence[str]) -> tuple[str, ...] | None:
    """Only the grade after `grade`, which was not able to do it; None at the end of the chain."""
    following = _after([grade], chain)
    return (following,) if following else None


def _after(grades: Sequence[str], chain: Sequence[str]) -> str | None:
    """The grade behind the last of `grades` in the chain; a chain that names none of them begins at its first."""
    places = [chain.index(grade) for grade in grades if grade in chain]
    place = max(places) + 1 if places else 0
    return chain[place] if place < len(chain) else None
