"""The first page: what needs a person, who is there, what runs, what just finished."""

from __future__ import annotations

from typing import Any

from django.db.models import JSONField, OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.agents.models import Agent
from apps.dashboard import counting
from apps.dashboard.budgets import strained
from apps.dashboard.goals import listed
from apps.dashboard.rows import agent_rows
from apps.endpoints.completion import thinker
from apps.forge.models import PullRequest
from apps.goals import reading
from apps.goals.models import Goal
from apps.ledger import pauses
from apps.repos.models import Repo
from apps.tasks.models import Attempt, ProgressBatch, Task

SHOWN = 8
GOALS = Goal.objects.select_related("repo", "plan")
RUNNING_SHOWN = 20


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """`/`"""
    running = running_now()
    agents = agent_rows()
    watch = ["dashboard", "needs-you", *(f"task.{attempt.task_id}" for attempt in running)]
    context = {
        "watch": " ".join(watch),
        "running": running,
        "running_count": counting.capped(Attempt.objects.open()),
        "agents": agents,
        "online": sum(row.agent.online for row in agents),
        "unconfined": [row.agent for row in agents if row.agent.online and row.agent.sandbox != "bubblewrap"],
        "pause": pauses.standing(),
        "strained": strained(timezone.now()),
        "lanes": counting.lanes(),
        "finished": just_finished(),
        "needs": needs_you(),
        "goals": listed(reading.under_way(GOALS)[:SHOWN]),
        "first_run": first_steps(),
    }
    return render(request, "overview.html", context)


def running_now() -> list[Attempt]:
    """Open attempts, newest first, each with the steps of its last batch of progress as `last_steps`."""
    open_ids = Attempt.objects.open().order_by("lease_until").values_list("pk", flat=True)[: counting.CAP]
    newest = sorted(open_ids, reverse=True)[:RUNNING_SHOWN]
    last = ProgressBatch.objects.filter(attempt=OuterRef("pk")).order_by("-seq").values("steps")[:1]
    rows = Attempt.objects.filter(pk__in=newest).select_related("task", "task__repo", "agent").order_by("-id")
    found = list(rows.annotate(last_steps=Subquery(last, output_field=JSONField())))
    for attempt in found:
        steps = attempt.last_steps or []  # type: ignore[attr-defined]  # the annotation above
        attempt.last_line = str(steps[-1].get("text", "")) if steps else ""  # type: ignore[attr-defined]
    return found


def just_finished() -> list[Task]:
    """The tasks that ended last, whatever their end; without the verifications."""
    ended = Task.objects.changes().filter(finished_at__isnull=False).select_related("repo")
    return list(ended.order_by("-finished_at")[:SHOWN])


def needs_you() -> dict[str, Any]:
    """What stands still until a person acts."""
    waiting = PullRequest.objects.filter(pk__in=counting.newest_waiting_pulls(SHOWN))
    return {
        "goals": listed(reading.needing_people(GOALS)[:SHOWN]),
        "pulls": list(waiting.select_related("repo").prefetch_related("verifications")),
        "pulls_count": counting.capped(counting.waiting_pulls()),
        "dead": list(counting.dead_letter().select_related("repo").order_by("-id")[:SHOWN]),
        "dead_count": counting.capped(counting.dead_letter()),
        "stranded": list(counting.stranded_tasks().order_by("-id")[:SHOWN]),
    }


def first_steps() -> dict[str, bool] | None:
    """What a new hub still lacks, or None once work was handed in; a hub for tasks alone needs no model of its own."""
    steps = {
        "repo": Repo.objects.exists(),
        "agent": Agent.objects.filter(retired_at__isnull=True).exists(),
        "work": Task.objects.exists() or Goal.objects.exists(),
    }
    return None if all(steps.values()) else steps | {"model": thinker() is not None}
