"""A lifecycle: the statuses of a thing, which are final, and every move between them with its meaning. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Move:
    """One allowed step; `source` is None for the status a thing is born with."""

    source: StrEnum | None
    target: StrEnum
    meaning: str


class Lifecycle:
    """Which moves exist. The guard in `transition()`, the choices, the constraints and the docs test all read this."""

    def __init__(self, statuses: type[StrEnum], final: Iterable[StrEnum], moves: Iterable[Move]) -> None:
        self.statuses = statuses
        self.final = frozenset(final)
        self.moves = tuple(moves)
        self._sources: Mapping[StrEnum, tuple[StrEnum, ...]] = {
            status: tuple(dict.fromkeys(m.source for m in self.moves if m.target is status and m.source is not None))
            for status in statuses
        }

    def sources(self, target: StrEnum) -> tuple[StrEnum, ...]:
        """The statuses from which `target` may be reached in one move."""
        return self._sources[target]

    def is_final(self, status: str) -> bool:
        return status in self.final

    @property
    def choices(self) -> list[tuple[str, str]]:
        return [(status.value, status.value.replace("_", " ")) for status in self.statuses]

    @property
    def values(self) -> list[str]:
        return [status.value for status in self.statuses]
