"""How far a model may go in one run: time and steps, checked before every step. (pure)"""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.agent.endings import Ending, OutOfSteps, OutOfTime
from sidecar.agent.talk import Usage


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one run. What the whole attempt may spend, in tokens and money, is the purse's to say."""

    steps: int
    seconds: float


@dataclass
class Spent:
    """What a run has used so far."""

    steps: int = 0
    calls: int = 0
    usage: Usage = field(default_factory=Usage)

    def add(self, usage: Usage) -> None:
        """Count one call of the model, whatever came of it."""
        self.calls += 1
        self.usage += usage


def check(limits: Limits, spent: Spent, elapsed: float) -> Ending | None:
    """The first limit that has been reached, time before steps; None when there is room."""
    if elapsed >= limits.seconds:
        return OutOfTime(f"The {limits.seconds:.0f} seconds for the work are over.")
    if spent.steps >= limits.steps:
        return OutOfSteps(f"All {limits.steps} steps are made.")
    return None
