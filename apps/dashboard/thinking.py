"""What the hub itself has thought, apart from what attempts at tasks cost: by its state, and what it asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.dashboard.summing import Spent
from apps.tasks.spending import PURPOSE


@dataclass(frozen=True)
class Thought:
    """What the hub asked in one state for one purpose; `first` when the row before is of another state."""

    state: str
    purpose: str
    spent: Spent
    first: bool


@dataclass(frozen=True)
class Thinking:
    """Row by row, the dearest state first, what they come to, and what attempts cost beside it."""

    rows: Sequence[Thought]
    all: Spent
    attempts: Spent


def thinking(found: Iterable[tuple[Mapping[str, Any], Spent]]) -> Thinking:
    """Out of sums that went together, each with its `state` and `purpose`."""
    tally: dict[str, dict[str, Spent]] = {}
    attempts = Spent()
    for row, spent in found:
        if row["purpose"] == PURPOSE:
            attempts += spent
            continue
        purposes = tally.setdefault(row["state"], {})
        purposes[row["purpose"]] = purposes.get(row["purpose"], Spent()) + spent
    sums = {state: sum(purposes.values(), Spent()) for state, purposes in tally.items()}
    rows = [
        Thought(state or "no state", purpose, tally[state][purpose], first=at == 0)
        for state in _dearest_first(sums)
        for at, purpose in enumerate(_dearest_first(tally[state]))
    ]
    return Thinking(rows, sum(sums.values(), Spent()), attempts)


def _dearest_first(spent: Mapping[str, Spent]) -> list[str]:
    return sorted(sorted(spent), key=lambda name: spent[name].weight, reverse=True)
