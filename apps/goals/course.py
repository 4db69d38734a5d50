"""What a goal that is being carried out needs next, from how its slices stand. Pure.

Slices are handed in when those before them are merged, and merged one at a time. When all are merged, the branch is
brought up to date with the default branch, and then the goal is judged. What cannot go on waits for a person, but only
once nothing else can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_TRIES = 3
"""How often the work of a slice may come back from a merge before a person has to look."""
MOST_CATCHING_UP = 2
"""How many slices a goal may spend on following its default branch."""


class State(StrEnum):
    """How a slice stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    MERGING = "merging"
    SENT_BACK = "sent_back"
    LOST = "lost"
    MERGED = "merged"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A slice: its number, those that have to be merged before it, where it stands, how often it came back."""

    number: int
    state: State
    after: tuple[int, ...] = ()
    tries: int = 0
    why: str = ""


class Following(StrEnum):
    """How the goal's branch stands to the default branch."""

    UP_TO_DATE = "up_to_date"
    BEHIND = "behind"
    MERGING = "merging"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Course:
    """What to do now. `merge` is the number of a slice, 0 for the default branch, None for nothing."""

    hand_in: tuple[int, ...] = ()
    merge: int | None = None
    catch_up: bool = False
    verify: bool = False
    review: str = ""


def plot(parts: Sequence[Part], following: Following, *, caught_up: int = 0) -> Course:
    """The next steps. `caught_up`: how many slices were spent on following the default branch so far."""
    merged = {part.number for part in parts if part.state is State.MERGED}
    ready = [part.number for part in parts if _may_begin(part, merged)]
    merging = following is Following.MERGING or any(part.state is State.MERGING for part in parts)
    done = [part.number for part in parts if part.state is State.DONE]
    if ready or merging or done or any(part.state is State.RUNNING for part in parts):
        return Course(hand_in=tuple(ready), merge=None if merging or not done else done[0])
    if len(merged) < len(parts):
        return Course(review=_why(parts))
    if following is Following.BEHIND:
        return Course(merge=0)
    if following is Following.REFUSED:
        if caught_up < MOST_CATCHING_UP:
            return Course(catch_up=True)
        return Course(review="The goal's branch cannot be brought up to date with the default branch.")
    return Course(verify=True)


def _may_begin(part: Part, merged: set[int]) -> bool:
    if part.state is State.SENT_BACK:
        return part.tries < MOST_TRIES
    return part.state is State.WAITING and merged.issuperset(part.after)


def _why(parts: Sequence[Part]) -> str:
    """What keeps the goal from being finished, said of the slices that ended; the others only wait for them."""
    stuck = [part for part in parts if part.state in (State.LOST, State.SENT_BACK)]
    return " ".join(f"Slice {part.number}: {part.why or 'it could not be done.'}" for part in stuck)[:1_000] or (
        "Some slices wait for others that will never be merged."
    )
