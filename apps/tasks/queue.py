"""How a task stands in line: its rank, and the demand it belongs to."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from apps.events.prepared import Prepared
from apps.repos.models import LOWEST_PLACE
from apps.tasks.models import Demand, Task


def rank(lane: int, queued_at: datetime, patience: timedelta, place: int = 0) -> float:
    """The moment (Unix seconds) by which tasks are ordered: when it came, later by `patience` for each lower lane.

    So lanes go in order, and first come first served inside a lane, but nothing waits behind a task of the next higher
    lane that came more than `patience` after it. A repository further back in the order waits a tenth of that a place.
    """
    waits = lane + min(place, LOWEST_PLACE) / (LOWEST_PLACE + 1)
    return queued_at.timestamp() + waits * patience.total_seconds()


def demand_of(task: Task) -> int:
    """The id of the demand that `task` belongs to, made if it is new."""
    facts = {
        "executor": task.executor,
        "grades": list(task.grades),
        "capabilities": sorted(set(task.capabilities)),
        "repo_id": task.repo_id,
        "target_id": task.target_id,
        "avoid_id": task.avoid_id,
    }
    if task.grades_before:  # only then, so that all other demands keep the key that they have
        facts["own"] = list(task.grades_before)
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    known = _KNOWN.rows(key=key)
    return int(known[0][0]) if known else Demand.objects.get_or_create(key=key, defaults=facts)[0].pk


def _by_key(key: str) -> QuerySet[Demand, Any]:
    return Demand.objects.filter(key=key).values_list("pk")


_KNOWN = Prepared(_by_key, key=str)
