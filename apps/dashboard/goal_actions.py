"""The buttons of a goal's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.dashboard.goals import goal_page
from apps.goals import actions
from apps.goals.models import Goal


def approve(goal: Goal, _request: HttpRequest, by: str) -> Goal:
    """Its plan may be carried out."""
    actions.approve(goal, by=by)
    return goal


def cancel(goal: Goal, request: HttpRequest, by: str) -> Goal:
    """Stop it, or turn its plan down."""
    actions.cancel(goal, by=by, reason=request.POST.get("reason", "").strip()[:500])
    return goal


def go_on(goal: Goal, _request: HttpRequest, by: str) -> Goal:
    """Out of review."""
    actions.go_on(goal, by=by)
    return goal


def resubmit(goal: Goal, _request: HttpRequest, by: str) -> Goal:
    """A new one like it."""
    return actions.resubmit(goal, by=by)


VERBS: Mapping[str, Callable[[Goal, HttpRequest, str], Goal]] = {
    "approve": approve,
    "cancel": cancel,
    "go-on": go_on,
    "resubmit": resubmit,
}


@require_POST
def goal_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/goals/<id>/<verb>`: then the goal's page, or that of the new one."""
    if verb not in VERBS:
        raise Http404
    goal = get_object_or_404(Goal.objects.select_related("repo"), pk=pk)
    by = person(request).get_username()
    return act(
        lambda: VERBS[verb](goal, request, by),
        then=lambda shown: reverse("goal", args=[shown.pk]),
        refused=lambda no: goal_page(request, pk, refused=no),
    )
