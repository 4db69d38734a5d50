"""Reads what `assessment` looks at: a fixed number of queries, none of which reads what is finished or past."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django_q.models import OrmQ

from apps.agents.models import PRESENCE_TIMEOUT
from apps.endpoints.completion import thinker
from apps.endpoints.health import Health
from apps.endpoints.models import Endpoint, Origin
from apps.goals import backlog
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal
from apps.insight.fixing import MOST_AT_ONCE
from apps.insight.lifecycle import CheckupStatus
from apps.insight.models import Checkup
from apps.ops.assessment import UNSERVED, Down, Held, OpenAlert, Sick, Signals
from apps.ops.models import Alert, Healing, Remedy
from apps.repos.models import Repo
from apps.tasks import roster
from apps.tasks.by_hand import HAND
from apps.tasks.lifecycle import Outcome
from apps.tasks.matching import misfit
from apps.tasks.models import Attempt, Demand, ProgressBatch, Task

logger = structlog.get_logger(__name__)
HOUR = timedelta(hours=1)
LATEST = 200
"""Of so many attempts, the newest, those of the last hour say how often they fail."""
MOST, NAMED = 100, 3
MORE_TIME = timedelta(minutes=5)
"""What an attempt is given when its agent answers, before it is looked at again."""
GIVE = "give it more time"
COUNTED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNVERIFIED, Outcome.RECLAIMED)


def read(now: datetime) -> Signals:
    """How the hub stands. A source that cannot be read hides no other; without its database little can be said."""
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}
    _guarded("disk", _disk, now, found, failed)
    if _guarded("database", _database, now, found, failed):
        for source, look in _SOURCES.items():
            _guarded(source, look, now, found, failed)
    return Signals(**found, failed=failed)


def _guarded(source: str, look: Callable[[datetime], dict[str, Any]], now: datetime, found: Any, failed: Any) -> bool:
    # within a transaction PostgreSQL would answer nothing more after one error
    apart = transaction.atomic() if connection.in_atomic_block else nullcontext()
    try:
        with apart:
            found |= look(now)
    except Exception as error:
        logger.exception("a signal could not be read", source=source)
        failed[source] = f"{type(error).__name__}: {error}"[:300]
        return False
    return True


def _database(_: datetime) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        if cursor.fetchone() != (1,):
            raise DatabaseError("it does not answer what it is asked")
    return {}


def _disk(_: datetime) -> dict[str, Any]:
    usage = shutil.disk_usage(settings.DATA_DIR)
    return {"disk_free": 100.0 * usage.free / usage.total if usage.total else None}


def _jobs(now: datetime) -> dict[str, Any]:
    """A job that runs is locked until later; one that is due stands at the moment when it became so."""
    oldest = OrmQ.objects.order_by("lock").values_list("lock", flat=True).first()
    return {"backlog": max(0.0, (now - oldest).total_seconds()) if oldest else 0.0}


def _held(now: datetime) -> dict[str, Any]:
    steps = ProgressBatch.objects.filter(attempt=OuterRef("pk")).order_by("-seq").values("at")[:1]
    given = Remedy.objects.filter(about=OuterRef("pk"), action=GIVE, outcome=Healing.DONE, at__gt=now - MORE_TIME)
    rows = Attempt.objects.open().select_related("agent", "task").annotate(step=Subquery(steps), given=Exists(given))
    return {"held": tuple(_one_held(row, now) for row in rows.order_by("lease_until"))}


def _one_held(row: Any, now: datetime) -> Held:
    since = row.accepted_at or row.assigned_at
    seen = row.agent.seen_at
    return Held(
        attempt=row.pk,
        task=row.task_id,
        title=row.task.title,
        agent=row.agent.name,
        online=bool(row.agent.connection and seen and seen > now - PRESENCE_TIMEOUT),
        by_hand=row.task.executor == HAND,
        silent=_seconds(now, seen or since),
        lapsed=_seconds(now, row.lease_until),
        running=_seconds(now, since),
        limit=row.task.timeout_seconds,
        quiet=_seconds(now, row.step or since),
        given_time=row.given,
    )


def _waiting(now: datetime) -> dict[str, Any]:
    """Tasks that nobody there could do, and which of the endpoints that are down would help."""
    line = Task.objects.filter(demand=OuterRef("pk")).order_by("rank", "id")
    waiting = Demand.objects.annotate(since=Subquery(line.values("queued_at")[:1])).filter(since__isnull=False)
    demands = list(waiting.exclude(executor=HAND).exclude(repo__paused=True))
    workers = roster.connected_workers() if demands else []
    in_vain = [demand for demand in demands if all(misfit(roster.need_of(demand), worker) for worker in workers)]
    long_ago = now - timedelta(seconds=UNSERVED)
    titles = _first_in_line([demand for demand in in_vain if demand.since < long_ago], long_ago)
    grades = {grade for demand in in_vain for grade in demand.grades}
    return {
        "unserved": tuple(title[:60] for title in titles[:NAMED]),
        "unserved_count": len(titles),
        "down": tuple(_down(grades)),
    }


def _first_in_line(demands: list[Any], before: datetime) -> list[str]:
    """Titles of tasks that came before then, of the first in these lines; the lines themselves may be long."""
    first = Task.objects.filter(demand__in=demands).order_by("demand", "rank", "id").values_list("title", "queued_at")
    return [title for title, came in first[:MOST] if came and came < before] if demands else []


def _down(grades: set[str]) -> list[Down]:
    """Endpoints that are known to be down; what nobody has looked at yet may well answer."""
    rows = list(Endpoint.objects.filter(draining=False).prefetch_related("models"))
    lost = any(row.origin == Origin.OPERATOR and row.health == Health.DOWN for row in rows)
    unthought = lost and _goals_wait() and thinker() is None
    return [
        Down(
            endpoint=row.pk,
            name=str(row),
            why=row.trouble,
            ours=row.origin == Origin.OPERATOR,
            needed=bool(grades & {row.grade, *(model.grade for model in row.models.all())})
            or (unthought and row.origin == Origin.OPERATOR),
        )
        for row in rows
        if row.health == Health.DOWN
    ]


def _goals_wait() -> bool:
    """Whether goals need the hub to think: they can begin, or go on by themselves. Others wait for people."""
    return any(count(own=own) for count in (backlog.pending, backlog.active) for own in (False, True))


def _attempts(now: datetime) -> dict[str, Any]:
    latest = Attempt.objects.order_by("-pk").values_list("outcome", "ended_at")[:LATEST]
    outcomes = [outcome for outcome, ended in latest if ended and ended > now - HOUR and outcome in COUNTED]
    return {"attempts": len(outcomes), "succeeded": outcomes.count(Outcome.SUCCEEDED)}


def _alerts(_: datetime) -> dict[str, Any]:
    rows = Alert.objects.open().order_by("-severity", "pk")[:MOST]
    return {"alerts": tuple(OpenAlert(key=a.key, severity=a.severity, message=a.message,
                                      acknowledged=a.acknowledged_at is not None) for a in rows)}  # fmt: skip


def _repos(_: datetime) -> dict[str, Any]:
    red = Checkup.objects.newest().filter(status=CheckupStatus.FAILED)
    faults = dict(red.values_list("repo", "faults"))
    unclear = dict(Checkup.objects.unclear().filter(repo__paused=False).values_list("repo", "note"))
    named = {fault["goal"] for found in faults.values() for fault in found if fault.get("goal")}
    lost = {goal.pk: f"goal {goal.pk} {_end(goal)}" for goal in Goal.objects.filter(pk__in=named) if goal.is_lost}
    rows = Repo.objects.filter(Q(pk__in={*faults, *unclear}) | ~Q(sync_error=""))
    return {"sick": tuple(_sick(row, faults.get(row.pk, []), lost, unclear.get(row.pk, "")) for row in rows)}


def _end(goal: Goal) -> str:
    """How a goal ended whose work is not on the default branch."""
    how = f"is {goal.status}" if goal.status != GoalStatus.COMPLETE else "was rejected"
    return f"{how}: {goal.reason}" if goal.reason else how


def _sick(repo: Repo, faults: list[dict[str, Any]], lost: Mapping[int, str], unclear: str) -> Sick:
    given_up = [lost[fault["goal"]] for fault in faults if fault.get("goal") in lost]
    turned_away = [fault["why_not"] for fault in faults if fault.get("why_not") and not fault.get("goal")]
    return Sick(
        repo=repo.pk,
        slug=repo.slug,
        faults=tuple(fault["name"] for fault in faults[:MOST_AT_ONCE]),
        goals=tuple(fault["goal"] for fault in faults if fault.get("goal") and fault["goal"] not in lost),
        kept_back=(*given_up, *turned_away),
        given_up=len(given_up),
        unclear=f"{repo.default_branch} of {repo.slug} cannot be examined: {unclear}" if unclear else "",
        sync_error=repo.sync_error,
        paused=repo.paused,
    )


def _seconds(now: datetime, then: datetime) -> float:
    return (now - then).total_seconds()


_SOURCES: dict[str, Callable[[datetime], dict[str, Any]]] = {
    "attempts in hand": _held,
    "queue and endpoints": _waiting,
    "attempts of the last hour": _attempts,
    "job queue": _jobs,
    "alerts": _alerts,
    "repositories": _repos,
}
