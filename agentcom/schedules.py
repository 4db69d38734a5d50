"""What the clock starts. django-q2 looks at it about every 30 seconds, so nothing here is relied on for speed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Every:
    """`job`, the dotted path of a function without arguments, runs every so many `minutes` on `cluster`."""

    job: str
    minutes: int
    cluster: str = "default"


SCHEDULES = (
    Every("apps.tasks.jobs.tidy", minutes=1),
    Every("apps.endpoints.jobs.look_at_all", minutes=1),
    Every("apps.tasks.jobs.give_back", minutes=1),
    Every("apps.repos.jobs.sync_all", minutes=5),
    Every("apps.insight.jobs.look_at_heads", minutes=5),
    Every("apps.ledger.jobs.reap", minutes=5),
    Every("apps.ledger.jobs.watch_pace", minutes=1),
    Every("apps.goals.jobs.sweep", minutes=1),
    Every("apps.brain.jobs.think", minutes=1),
    Every("apps.forge.jobs.refresh_all", minutes=10),
    Every("apps.ops.jobs.prune", minutes=60),
    Every("apps.tasks.jobs.prune", minutes=24 * 60),
    Every("apps.agents.jobs.prune", minutes=24 * 60),
    Every("apps.insight.jobs.prune", minutes=24 * 60),
    Every("apps.brain.jobs.prune", minutes=24 * 60),
    Every("apps.repos.jobs.maintain_all", minutes=24 * 60),
)
