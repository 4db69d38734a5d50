"""The pages of goals: the backlog and what came of it, one goal, and the forms for a new and a changed one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.dashboard.access import person
from apps.dashboard.goal_form import GoalChangeForm, GoalFilter, GoalForm, PriorityForm, typed_checks
from apps.dashboard.goal_graph import Node, Picture, draw
from apps.dashboard.paging import page_of
from apps.dashboard.task_form import CHECKS
from apps.dashboard.templatetags.shown import tone, words
from apps.events.models import Event
from apps.events.refused import Invalid, Refused
from apps.goals import actions, lifecycle, reading
from apps.goals.course import State
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal, Plan
from apps.goals.reading import Step
from apps.repos.models import Repo

SHOWN = 50
HISTORY_SHOWN = 100
MERGES_SHOWN = 30


@require_safe
def goals(request: HttpRequest) -> HttpResponse:
    """`/goals`: what needs a person, what is under way, the backlog, and what has ended; or those that fit a filter."""
    wanted = GoalFilter(request.GET or None)
    narrowed = wanted.is_valid() and any(wanted.cleaned_data.values())
    rows = Goal.objects.select_related("repo", "plan")
    page = page_of(wanted.narrow(rows) if narrowed else rows.filter(status__in=lifecycle.GOAL.final), request)
    context: dict[str, Any] = {"filter": wanted, "watch": "dashboard", "narrowed": narrowed, "page": page}
    if not narrowed:
        context |= {
            "needs": listed(reading.needing_people(rows)[:SHOWN]),
            "active": listed(reading.under_way(rows)[:SHOWN]),
            "backlog": listed(reading.backlog(rows)[:SHOWN]),
        }
    context["ended"] = listed(page.rows)
    return render(request, "goals.html", context)


@dataclass(frozen=True)
class GoalRow:
    """A goal in a list: how much of its plan is merged, and what holds it."""

    goal: Goal
    hold: str
    merged: int
    slices: int


def listed(found: QuerySet[Goal] | Sequence[Goal]) -> list[GoalRow]:
    """Three queries, however many goals."""
    rows = list(found)
    holds, parts = reading.holds(rows), reading.merged_parts(rows)
    return [GoalRow(goal, holds.get(goal.pk, ""), *parts.get(goal.pk, (0, 0))) for goal in rows]


@require_http_methods(["GET", "HEAD", "POST"])
def goal_new(request: HttpRequest) -> HttpResponse:
    """`/goals/new`: hand one in."""
    form = GoalForm(request.POST or None, initial={"repo": request.GET.get("repo", "")})
    checks = CHECKS(request.POST or None, prefix="checks")
    if request.method == "POST" and form.is_valid() and checks.is_valid():
        by = person(request).get_username()
        if made := _tried(form, lambda: actions.submit(form.wanted(checks.cleaned_data), by=by)[0]):
            return redirect("goal", made.pk)
    context = {
        "form": form,
        "checks": checks,
        "more_checks_open": any(check.has_changed() for check in list(checks)[2:]),
        "repos": Repo.objects.exists(),
    }
    return render(request, "goal_new.html", context, status=400 if request.method == "POST" else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def goal_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/goals/<id>/edit`: all of it before it has begun, then priority and tags."""
    goal = get_object_or_404(Goal.objects.select_related("repo"), pk=pk)
    # What was typed is what is asked for, also when the hub has begun with it since: then it is refused, not dropped.
    early = "title" in request.POST if request.method == "POST" else goal.status == GoalStatus.SUBMITTED
    form = (GoalChangeForm if early else PriorityForm)(request.POST or None, initial=_typed(goal))
    checks = CHECKS(request.POST or None, prefix="checks", initial=goal.checks) if early else None
    if request.method == "POST" and form.is_valid() and (checks is None or checks.is_valid()):
        fields = {**form.cleaned_data}
        if checks is not None:
            fields["checks"] = _as_before(goal, typed_checks(checks.cleaned_data))
        by = person(request).get_username()

        def change() -> Goal:
            actions.edit(goal, by=by, **fields)
            return goal

        if _tried(form, change):
            return redirect("goal", pk)
    context = {"form": form, "checks": checks, "goal": goal, "more_checks_open": len(goal.checks) > 2}
    return render(request, "goal_edit.html", context, status=400 if request.method == "POST" else 200)


def _typed(goal: Goal) -> dict[str, Any]:
    return {
        "title": goal.title,
        "description": goal.description,
        "success_criteria": "\n".join(goal.success_criteria),
        "tags": ", ".join(goal.tags),
        "lane": goal.lane,
        "depends_on": ", ".join(map(str, reading.prerequisite_ids(goal))),
    }


def _as_before(goal: Goal, checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the form does not show of a check, its description and its time, stays."""
    known = {(check["type"], check.get("target", "")): check for check in goal.checks}
    return [known.get((check["type"], check["target"]), check) for check in checks]


def _tried(form: Any, act: Callable[[], Goal]) -> Goal | None:
    """The goal that it was done to; None when it was refused, and the form says why."""
    try:
        return act()
    except Invalid as no:
        form.add_error(no.field if no.field in form.fields else None, no.message)
    except Refused as no:
        form.add_error(None, no.message)
    return None


@require_safe
def goal(request: HttpRequest, pk: int) -> HttpResponse:
    """`/goals/<id>`"""
    return goal_page(request, pk)


def goal_page(request: HttpRequest, pk: int, refused: Refused | None = None) -> HttpResponse:
    """What was asked, how it is done, what came of it; and beside the buttons why one of them was refused."""
    found = get_object_or_404(Goal.objects.select_related("repo", "pull", "plan", "again_of"), pk=pk)
    plan = found.plan if hasattr(found, "plan") else None
    steps = [Shown(step) for step in reading.steps_of(found)]
    running = [step.task.group for step in steps if step.task is not None and not step.task.is_final]
    context = {
        "goal": found,
        "watch": " ".join([found.group, *running]),
        "here": reverse("goal", args=[pk]),
        "plan": plan,
        "expected": expected(plan),
        "steps": steps,
        "merged": sum(step.state == State.MERGED for step in steps),
        "picture": picture(steps) if len(steps) > 1 else None,
        "judged": reading.judged(found),
        "cost": reading.cost_of(found),
        "hold": reading.holds([found]).get(found.pk, ""),
        "before": list(Goal.objects.filter(dependants__goal=found).order_by("pk")),
        "after": list(Goal.objects.filter(prerequisites__prerequisite=found).order_by("pk")[:20]),
        "again": list(found.again.order_by("pk")[:5]),
        "merges": list(found.merges.select_related("slice", "task").order_by("-pk")[:MERGES_SHOWN]),
        "history": list(Event.objects.filter(subject=f"goal/{pk}").order_by("-id")[:HISTORY_SHOWN]),
        "refused": refused,
    }
    return render(request, "goal.html", context)


class Shown:
    """A slice with the word and the colour for how it stands."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.slice, self.task, self.state = step.slice, step.task, step.state
        # While it runs, what its task says is nearer to the truth.
        status = step.task.status if step.task is not None and step.state == State.RUNNING else step.state.value
        self.says, self.tone = words(status), tone(status)
        self.returned = step.slice.tries + (step.state == State.SENT_BACK)

    @property
    def live(self) -> bool:
        """Whether something is being done about it right now."""
        return self.state == State.MERGING or (self.state == State.RUNNING and self.tone == "busy")


def picture(steps: Sequence[Shown]) -> Picture:
    """The slices of the plan, each linked to its task once it has one."""
    return draw([_node(step) for step in steps])


def _node(step: Shown) -> Node:
    return Node(
        number=step.slice.number,
        title=step.slice.title,
        says=step.says,
        tone=step.tone,
        href=reverse("task", args=[step.task.pk]) if step.task is not None else f"#slice-{step.slice.number}",
        after=tuple(step.slice.after),
    )


def expected(plan: Plan | None) -> dict[str, Any]:
    """The estimate with its times in milliseconds, as they are shown; empty when there is no history."""
    if plan is None or not plan.estimate:
        return {}
    times = {name: value * 1_000 for name, value in plan.estimate["seconds"].items()}
    return {"micro": plan.estimate["micro"], "ms": times, "slices": plan.estimate["slices"]}
