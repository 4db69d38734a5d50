"""What a plan will probably cost and how long it will take, from slices that were finished before. Pure.

A slice is like those of its tier, or like all of them where its own tier has too few. Costs add up over the slices;
time adds up along the longest chain of slices that wait for each other, since the others are done beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from statistics import median, quantiles

LEAST = 5
"""Fewer finished slices than this say nothing."""


@dataclass(frozen=True, slots=True)
class Past:
    """A finished slice: what it cost in micro-USD, and the seconds from its turn until it was merged."""

    tier: str
    micro: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A slice to come; `after` are the numbers of those before it."""

    number: int
    tier: str
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of what happened before, and the 10th and 90th percentile around it."""

    low: float
    middle: float
    high: float

    def __add__(self, other: Spread) -> Spread:
        return Spread(self.low + other.low, self.middle + other.middle, self.high + other.high)

    def at_least(self, other: Spread) -> Spread:
        """The longer of both, each number by itself."""
        return Spread(max(self.low, other.low), max(self.middle, other.middle), max(self.high, other.high))


NOTHING = Spread(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Micro-USD and seconds of a whole plan, from so many finished slices.

    The ends are sums of each slice's ends, so that they are wider apart than the 10th and 90th percentile of wholes.
    """

    micro: Spread
    seconds: Spread
    slices: int


def estimate(pieces: Sequence[Piece], past: Sequence[Past]) -> Estimate | None:
    """What to expect of `pieces`, or None as long as there is no history that tells."""
    if len(past) < LEAST or not pieces:
        return None
    alike = {piece.number: _alike(piece, past) for piece in pieces}
    micro = sum((spread([each.micro for each in alike[piece.number]]) for piece in pieces), NOTHING)
    seconds = {number: spread([each.seconds for each in found]) for number, found in alike.items()}
    return Estimate(micro, _longest(pieces, seconds), len(past))


def _alike(piece: Piece, past: Sequence[Past]) -> Sequence[Past]:
    own = [each for each in past if each.tier == piece.tier]
    return own if len(own) >= LEAST else past


def spread(values: Sequence[float]) -> Spread:
    """Of at least two values."""
    tenths, middle = quantiles(values, n=10, method="inclusive"), median(values)
    # of equal values the tenths may differ in the last bit
    return Spread(min(tenths[0], middle), middle, max(tenths[-1], middle))


def _longest(pieces: Sequence[Piece], seconds: Mapping[int, Spread]) -> Spread:
    """Along the longest chain. Slices wait for each other without a circle; what else `after` names is nothing."""
    after = {piece.number: piece.after for piece in pieces}

    @cache
    def until(number: int) -> Spread:
        return _longer(until(before) for before in after[number] if before in after) + seconds[number]

    return _longer(until(number) for number in after)


def _longer(spreads: Iterable[Spread]) -> Spread:
    return reduce(Spread.at_least, spreads, NOTHING)
