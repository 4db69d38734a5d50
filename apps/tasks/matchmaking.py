"""Bring queued tasks and idle agents together, now. Safe to run anywhere, any number of times, at once."""

from __future__ import annotations

import structlog

from apps.events.refused import Stale
from apps.tasks import roster
from apps.tasks.attempts import assign
from apps.tasks.matching import Worker, pair

logger = structlog.get_logger(__name__)
ROUNDS = 5
"""How often one call looks again after losing a race; the sweep comes anyway."""


def match() -> int:
    """Assign what can be assigned; the number of assignments made."""
    made = 0
    for _ in range(ROUNDS):
        assigned, lost = _round()
        made += assigned
        if not lost:
            break
    return made


def _round() -> tuple[int, int]:
    assigned = lost = 0
    demands = roster.waiting()
    for idle in roster.idle_workers(for_models=roster.needs_models(demands)) if demands else ():
        heads = roster.heads(demands, idle)
        avoiding = any(head.need.avoid is not None for head in heads)
        connected: list[Worker] = roster.connected_workers() if avoiding else []
        for chosen in pair(heads, idle, connected):
            try:
                attempt = assign(chosen)
            except Stale:
                lost += 1
                continue
            assigned += 1
            logger.info("assigned", task=chosen.head.task, attempt=attempt, agent=chosen.worker.name)
    return assigned, lost
