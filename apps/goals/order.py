"""Who comes after whom among the slices of a plan: no unknown numbers, no circles. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apps.goals.answers import Fault, named


def check(after: Mapping[int, Sequence[int]]) -> None:
    """Refuse an order that nobody can follow, naming exactly what is wrong. Raises Fault("dag")."""
    for number, others in after.items():
        for other in others:
            if other == number:
                raise Fault("dag", f"Slice {number} is after itself.")
            if other not in after:
                raise Fault(
                    "dag", f"Slice {number} is after slice {named(str(other))}, but the slices are 1 to {len(after)}."
                )
    if circle := _circle(after):
        way = " → ".join(str(number) for number in circle)
        raise Fault("dag", f"These slices wait for each other in a circle: {way}. Each arrow is one entry of after.")


def ancestors(after: Mapping[int, Sequence[int]]) -> dict[int, frozenset[int]]:
    """For each slice, all that are done before it. The order must have been checked."""
    known: dict[int, frozenset[int]] = {}

    def before(number: int) -> frozenset[int]:
        if number not in known:
            known[number] = frozenset(after[number]).union(*(before(other) for other in after[number]))
        return known[number]

    return {number: before(number) for number in after}


def _circle(after: Mapping[int, Sequence[int]]) -> list[int]:
    """The numbers along one circle, the first one again at the end; empty when there is none."""
    left = {number: set(others) for number, others in after.items()}
    while free := [number for number, others in left.items() if not others]:
        for number in free:
            del left[number]
        for others in left.values():
            others.difference_update(free)
    if not left:
        return []
    way = [min(left)]
    while (following := min(left[way[-1]])) not in way:
        way.append(following)
    return [*way[way.index(following) :], following]
