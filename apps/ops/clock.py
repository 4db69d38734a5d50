"""The clock's schedules in django-q2, made equal to the table in agentcom/schedules.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from django.db import transaction
from django.utils import timezone
from django_q.models import Schedule


class Entry(Protocol):
    """A line of the table."""

    @property
    def job(self) -> str: ...
    @property
    def minutes(self) -> int: ...
    @property
    def cluster(self) -> str: ...


@transaction.atomic
def equal_to(table: Iterable[Entry]) -> list[str]:
    """Add what is missing, correct what differs, remove the rest; a line for each. When jobs last ran is kept."""
    wanted = {entry.job: entry for entry in table}
    changed: list[str] = []
    for extra in Schedule.objects.exclude(name__in=wanted):
        changed.append(f"removed {extra.name}")
        extra.delete()
    for job, entry in wanted.items():
        facts = {"func": job, "schedule_type": Schedule.MINUTES, "minutes": entry.minutes, "cluster": entry.cluster}
        known = Schedule.objects.filter(name=job).first()
        if known is None:
            Schedule.objects.create(name=job, repeats=-1, next_run=timezone.now(), **facts)
            changed.append(f"added {job}")
        elif any(getattr(known, name) != value for name, value in facts.items()):
            Schedule.objects.filter(pk=known.pk).update(**facts, next_run=timezone.now())
            changed.append(f"changed {job}")
    return changed
