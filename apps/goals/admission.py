"""Whether the hub may make itself a goal now. Pure.

Work that nobody asked for must not crowd out what people want, nor come back after they said no. What people do with
its earlier goals sets the pace: each that is rejected or ignored doubles the wait, each that is merged halves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MOST_OPEN = 3
"""Open goals of the hub's own, healing left out."""
MOST_HEALING = 3
"""Open goals of healing, each about another fault."""
REMEMBERED = timedelta(days=30)
"""So long what people rejected is not proposed again."""
IGNORED_AFTER = timedelta(days=7)
SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=7)
LOOKED_BACK = 10
HEALING = "healing"


class Answer(StrEnum):
    """What people did with a goal of the hub's own."""

    ACCEPTED = "accepted"  # its pull request was merged
    REJECTED = "rejected"
    IGNORED = "ignored"  # open for long, and nobody touched it
    PENDING = "pending"


def answer(
    *, landed: bool, rejected: bool, waiting_since: datetime | None, touched_at: datetime | None, now: datetime
) -> Answer:
    """How people answered a goal. `waiting_since` is since when it has been for people to act, None when it is not."""
    if landed:
        return Answer.ACCEPTED
    if rejected:
        return Answer.REJECTED
    if waiting_since is not None and now - max(waiting_since, touched_at or waiting_since) > IGNORED_AFTER:
        return Answer.IGNORED
    return Answer.PENDING


@dataclass(frozen=True, slots=True)
class Own:
    """A goal of the hub's own: where, from which of its states, and what it is about."""

    repo: str
    source: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """What people said no to, and when."""

    fingerprint: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Admitted:
    """The goal may be made."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """It may not: a stable code and a sentence; `until` when to ask again, None when time does not matter."""

    code: str
    sentence: str
    until: datetime | None = None


def interval(answers: Sequence[Answer]) -> timedelta:
    """How long after one of its own goals the hub makes no other in the same repository.

    `answers` are those to its last goals there, newest first; ten of them count.
    """
    return min(LONGEST, SHORTEST * (1 << _balance(answers)))


def _balance(answers: Sequence[Answer]) -> int:
    last = list(answers[:LOOKED_BACK])
    against = last.count(Answer.REJECTED) + last.count(Answer.IGNORED)
    return max(0, against - last.count(Answer.ACCEPTED))


def admit(
    wanted: Own,
    *,
    still_open: Sequence[Own],
    rejected: Sequence[Rejected],
    answers: Sequence[Answer],
    last_at: datetime | None,
    now: datetime,
) -> Admitted | TurnedAway:
    """Whether the hub may make the goal.

    `still_open` are all its own goals that are not decided. `answers` to its last goals in this repository, newest
    first, and `last_at` when it made the last one there. Healing may add one goal for each fault, whatever else is
    open in the repository, and waits only when people have been saying no.
    """
    return (
        _about_this(wanted, still_open, rejected, now)
        or _room(wanted, still_open)
        or _pace(wanted, answers, last_at, now)
        or Admitted()
    )


def _about_this(
    wanted: Own, still_open: Sequence[Own], rejected: Sequence[Rejected], now: datetime
) -> TurnedAway | None:
    if any(own.fingerprint == wanted.fingerprint for own in still_open):
        return TurnedAway("duplicate", "A goal about the same thing is open.")
    said_no = max((no.at for no in rejected if no.fingerprint == wanted.fingerprint), default=None)
    if said_no is not None and now - said_no < REMEMBERED:
        until = said_no + REMEMBERED
        return TurnedAway(
            "rejected", f"People rejected this on {said_no:%Y-%m-%d}; not before {until:%Y-%m-%d}.", until
        )
    return None


def _room(wanted: Own, still_open: Sequence[Own]) -> TurnedAway | None:
    healing = [own for own in still_open if own.source == HEALING]
    if wanted.source == HEALING:
        if len(healing) >= MOST_HEALING:
            return TurnedAway("too_many_healing", f"{len(healing)} goals of healing are open; {MOST_HEALING} may be.")
        return None
    others = len(still_open) - len(healing)
    if others >= MOST_OPEN:
        return TurnedAway("too_many", f"{others} goals of the hub's own are open; {MOST_OPEN} may be.")
    if any(own.repo == wanted.repo for own in still_open):
        return TurnedAway("one_per_repo", f"A goal of the hub's own is open in {wanted.repo}.")
    return None


def _pace(wanted: Own, answers: Sequence[Answer], last_at: datetime | None, now: datetime) -> TurnedAway | None:
    against = _balance(answers)
    if last_at is None or (wanted.source == HEALING and not against):
        return None
    until = last_at + interval(answers)
    if now >= until:
        return None
    why = f" Of the last ten, {against} more were rejected or ignored than merged." if against else ""
    return TurnedAway(
        "too_soon", f"The next goal of the hub's own in {wanted.repo} is due at {until:%Y-%m-%d %H:%M}.{why}", until
    )
