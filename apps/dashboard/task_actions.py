"""The buttons of a task's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.dashboard.tasks import task_page
from apps.events.refused import Invalid
from apps.tasks import actions
from apps.tasks.models import Task


def cancel(task: Task, request: HttpRequest, by: str) -> None:
    """Stop it."""
    actions.cancel(task, by=by, reason=request.POST.get("reason", "").strip()[:500])


def retry(task: Task, _request: HttpRequest, by: str) -> None:
    """Out of the dead letter."""
    actions.revive(task, by=by)


def drop(task: Task, request: HttpRequest, by: str) -> None:
    """Go on without one prerequisite."""
    number = request.POST.get("prerequisite", "")
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise Invalid("prerequisite", "Which prerequisite?")
    actions.drop_prerequisite(task, int(number), by=by)


VERBS: Mapping[str, Callable[[Task, HttpRequest, str], None]] = {"cancel": cancel, "retry": retry, "drop": drop}


@require_POST
def task_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/tasks/<id>/<verb>`"""
    if verb not in VERBS:
        raise Http404
    task = get_object_or_404(Task.objects.select_related("repo"), pk=pk)
    return act(
        lambda: VERBS[verb](task, request, person(request).get_username()),
        then=reverse("task", args=[pk]),
        refused=lambda no: task_page(request, pk, refused=no),
    )
