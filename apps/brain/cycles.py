"""What the hub does in the states that one piece of work fills. Each line is a function that may run twice.

It takes nothing and answers how much it found, or did. It makes no transaction last over a call of a model.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from django.utils.module_loading import import_string

from apps.brain.decide import Outcome
from apps.brain.lifecycle import State
from apps.events.refused import Refused

logger = structlog.get_logger(__name__)

WORK: Mapping[State, tuple[str, ...]] = {
    State.IMPROVING: ("apps.insight.jobs.look_at_repos",),
    State.CONTEMPLATING: (),
    State.HEALING: ("apps.ops.healing.heal",),
}
JOBS = {
    State.IMPROVING: "apps.brain.jobs.improve",
    State.CONTEMPLATING: "apps.brain.jobs.contemplate",
    State.HEALING: "apps.brain.jobs.heal",
}
CLUSTERS = {State.IMPROVING: "thinking", State.CONTEMPLATING: "thinking", State.HEALING: "default"}
"""Healing must not wait behind a model that thinks for minutes."""
LOST = {State.IMPROVING: 930.0, State.CONTEMPLATING: 930.0, State.HEALING: 130.0}
"""Seconds after which work that has not ended never will: a little more than its cluster lets a job run."""


def run(state: State) -> Outcome:
    """Do all of it. One part that fails does not keep the others from their turn."""
    outcomes = {_one(path) for path in WORK[state]}
    for outcome in (Outcome.FOUND, Outcome.FAILED):
        if outcome in outcomes:
            return outcome
    return Outcome.NOTHING


def _one(path: str) -> Outcome:
    try:
        return Outcome.FOUND if import_string(path)() else Outcome.NOTHING
    except Refused as refused:  # no budget, nobody to ask, paused meanwhile
        logger.info("a part of a cycle was refused", part=path, code=refused.code, reason=refused.message)
        return Outcome.NOTHING
    except Exception:
        logger.exception("a part of a cycle failed", part=path)
        return Outcome.FAILED
