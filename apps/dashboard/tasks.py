"""The pages of tasks: the list, one task, and the form for a new one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.access import person
from apps.dashboard.paging import page_of
from apps.dashboard.task_form import CHECKS, CheckForm, TaskFilter, TaskForm
from apps.events.models import Event
from apps.events.refused import Invalid, Refused
from apps.tasks import actions
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Attempt, Dependency, Task, Work
from apps.tasks.waiting import why

HISTORY_SHOWN = 100
STEPS_SHOWN = 400
BATCHES_READ = 60


@require_safe
def tasks(request: HttpRequest) -> HttpResponse:
    """`/tasks`: newest first, filtered, in pages."""
    wanted = TaskFilter(request.GET or None)
    rows = Task.objects.select_related("repo")
    rows = wanted.narrow(rows) if wanted.is_valid() else rows.changes()
    context = {"filter": wanted, "page": page_of(rows, request), "watch": "dashboard"}
    return render(request, "tasks.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def task_new(request: HttpRequest) -> HttpResponse:
    """`/tasks/new`: hand one in."""
    form = TaskForm(request.POST or None)
    checks = CHECKS(request.POST or None, prefix="checks")
    if request.method == "POST" and form.is_valid() and checks.is_valid():
        try:
            made, _ = actions.submit(form.submission(checks.cleaned_data), by=person(request).get_username())
        except Invalid as no:
            form.add_error(no.field if no.field in form.fields else None, no.message)
        except Refused as no:
            form.add_error(None, no.message)
        else:
            return redirect("task", made.pk)
    invalid = request.method == "POST"
    context = {"form": form, "checks": checks, "more_checks_open": _used_beyond(checks, 2)}
    return render(request, "task_new.html", context, status=400 if invalid else 200)


def _used_beyond(checks: Any, first: int) -> bool:
    used: list[CheckForm] = [form for form in list(checks)[first:] if form.has_changed()]
    return bool(used)


@require_safe
def task(request: HttpRequest, pk: int) -> HttpResponse:
    """`/tasks/<id>`"""
    return task_page(request, pk)


def task_page(request: HttpRequest, pk: int, refused: Refused | None = None) -> HttpResponse:
    """Everything about one task, and beside the buttons why one of them was refused."""
    found = get_object_or_404(Task.objects.select_related("repo", "target", "avoid"), pk=pk)
    attempts = list(found.attempts.select_related("agent").order_by("-id")[:50])
    before = list(found.prerequisites.select_related("prerequisite").order_by("prerequisite_id"))
    after = Dependency.objects.filter(prerequisite=found).select_related("task").order_by("task_id")
    context = {
        "task": found,
        "watch": found.group,
        "here": reverse("task", args=[pk]),
        "hub": settings.BASE_URL or request.build_absolute_uri("/").rstrip("/"),
        "attempts": attempts,
        "decision": next((attempt.decision for attempt in attempts if attempt.decision), None),
        "steps": recent_steps(attempts[0]) if attempts else [],
        "live": bool(attempts) and attempts[0].ended_at is None,
        "waits": "" if found.status == TaskStatus.BLOCKED else why(found),  # the attempt says why it is blocked
        "before": before,
        "after": list(after[:20]),
        "history": list(_history(found)),
        "pulls": list(found.pulls.all()),
        "verifies": found.verifications.select_related("pull").first() if found.work == Work.VERIFICATION else None,
        "can_cancel": not found.is_final,
        "can_retry": found.status == TaskStatus.DEAD,
        "refused": refused,
    }
    return render(request, "task.html", context)


@require_safe
def attempt(request: HttpRequest, pk: int) -> HttpResponse:
    """`/attempts/<id>`: how a model went about it, step by step."""
    found = get_object_or_404(Attempt.objects.select_related("agent", "task", "trajectory"), pk=pk)
    steps = found.trajectory.steps if hasattr(found, "trajectory") else []
    context = {
        "attempt": found,
        "task": found.task,
        "steps": steps,
        "unread": sum(bool(step.get("complaint")) for step in steps),
        "watch": found.task.group,
        "here": reverse("attempt", args=[pk]),
    }
    return render(request, "attempt.html", context)


def _history(task: Task) -> list[Event]:
    newest = Event.objects.filter(subject=f"task/{task.pk}").order_by("-id")[:HISTORY_SHOWN]
    return list(newest)


def recent_steps(attempt: Attempt) -> list[dict[str, Any]]:
    """The last steps of live progress, oldest first."""
    batches = list(attempt.progress.order_by("-seq").values_list("steps", flat=True)[:BATCHES_READ])
    steps = [step for batch in reversed(batches) for step in batch]
    return steps[-STEPS_SHOWN:]
