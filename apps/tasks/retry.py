"""What becomes of a task after an attempt ended without success. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from apps.tasks.lifecycle import Outcome


@dataclass(frozen=True)
class Tally:
    """How often a task failed and was reclaimed since it was submitted or revived, and how often it may."""

    failures: int
    max_attempts: int
    reclaims: int
    max_reclaims: int


@dataclass(frozen=True)
class Next:
    """Bury it, or queue it again after `wait`; `counted` names the tally that this end goes into."""

    bury: bool
    wait: timedelta
    failures: int
    reclaims: int
    reason: str = ""


def after(
    outcome: Outcome, tally: Tally, *, backoff: timedelta, longest: timedelta, pause: timedelta | None = None
) -> Next:
    """Failures and reclaims each have a limit of their own; a release costs nothing but a short wait, or `pause`."""
    failures, reclaims = tally.failures, tally.reclaims
    if outcome is Outcome.RELEASED:
        wait = min(backoff, longest) / 2 if pause is None else min(pause, longest)
        return Next(False, wait, failures, reclaims)
    if outcome is Outcome.RECLAIMED:
        reclaims += 1
        return Next(reclaims > tally.max_reclaims, timedelta(0), failures, reclaims, "reclaimed too often")
    failures += 1
    wait = min(backoff * 2 ** min(failures - 1, 20), longest)
    return Next(failures >= tally.max_attempts, wait, failures, reclaims, "no attempts left")
