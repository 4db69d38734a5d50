"""Every page. What is not in `OPEN` is for operators: the guard is put on here, once, for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib.auth.views import LogoutView
from django.urls import path, register_converter
from django.urls.converters import IntConverter

from apps.dashboard import (
    agents,
    brain,
    dead,
    goal_actions,
    goals,
    health,
    machines,
    overview,
    people,
    pull_actions,
    pulls,
    repos,
    spending,
    spending_actions,
    task_actions,
    tasks,
)
from apps.dashboard.access import operators_only


class Id(IntConverter):
    """A row's id; longer numbers than the database can hold are simply not found."""

    regex = "[0-9]{1,18}"


register_converter(Id, "id")

OPEN = [
    path("login", people.Login.as_view(), name="login"),
    path("login/<str:secret>", people.login_link, name="login_link"),
    path("logout", LogoutView.as_view(), name="logout"),
]
PAGES: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "overview": ("", overview.overview),
    "goals": ("goals", goals.goals),
    "goal_new": ("goals/new", goals.goal_new),
    "goal": ("goals/<id:pk>", goals.goal),
    "goal_edit": ("goals/<id:pk>/edit", goals.goal_edit),
    "goal_act": ("goals/<id:pk>/<slug:verb>", goal_actions.goal_act),
    "tasks": ("tasks", tasks.tasks),
    "task_new": ("tasks/new", tasks.task_new),
    "task": ("tasks/<id:pk>", tasks.task),
    "attempt": ("attempts/<id:pk>", tasks.attempt),
    "task_act": ("tasks/<id:pk>/<slug:verb>", task_actions.task_act),
    "dead": ("dead", dead.dead),
    "pulls": ("pulls", pulls.pulls),
    "pull": ("pulls/<id:pk>", pulls.pull),
    "pull_act": ("pulls/<id:pk>/<slug:verb>", pull_actions.pull_act),
    "agents": ("agents", agents.agents),
    "agent_act": ("agents/<id:pk>/<slug:verb>", agents.agent_act),
    "enrolment_code": ("agents/code", agents.enrolment_code),
    "machines": ("machines", machines.machines),
    "endpoint_act": ("endpoints/<id:pk>/<slug:verb>", machines.endpoint_act),
    "health_report": ("health", health.health_report),
    "rehearse": ("health/rehearse", health.rehearse),
    "alert_act": ("alerts/<id:pk>/<slug:verb>", health.alert_act),
    "brain": ("brain", brain.brain),
    "brain_act": ("brain/<slug:verb>", brain.brain_act),
    "spending": ("spending", spending.spending),
    "spending_lift": ("spending/lift", spending_actions.spending_lift),
    "repos": ("repos", repos.repos),
    "repo_act": ("repos/<id:pk>/<slug:verb>", repos.repo_act),
}
urlpatterns = [*OPEN, *(path(route, operators_only(view), name=name) for name, (route, view) in PAGES.items())]
