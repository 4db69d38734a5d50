"""The page of agents: who is there, what they do, and how another machine joins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from apps.agents import presence, restarts
from apps.agents.enrolment import mint_code
from apps.agents.models import Agent
from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.dashboard.rows import agent_rows
from apps.events.refused import Refused
from apps.tasks.matchmaking import match


@require_safe
def agents(request: HttpRequest) -> HttpResponse:
    """`/agents`"""
    return agents_page(request)


def agents_page(
    request: HttpRequest, *, code: str = "", name: str = "", refused: Refused | None = None
) -> HttpResponse:
    """All agents; with `code`, the command by which a machine joins, shown this once."""
    context = {
        "rows": agent_rows(),
        "watch": "dashboard",
        "here": reverse("agents"),
        "code": code,
        "name": name,
        "hub": settings.BASE_URL or request.build_absolute_uri("/").rstrip("/"),
        "minutes": int(settings.ENROLMENT_CODE_LIFETIME.total_seconds() // 60),
        "refused": refused,
    }
    return render(request, "agents.html", context)


@require_POST
def enrolment_code(request: HttpRequest) -> HttpResponse:
    """`/agents/code`: answered with the page itself, because the code must be seen once and never again."""
    name = request.POST.get("name", "").strip()
    try:
        _, code = mint_code(person(request), name)
    except Refused as no:
        response = agents_page(request, name=name, refused=no)
        response.status_code = no.status
        return response
    return agents_page(request, code=code, name=name)


def resume(agent: Agent, by: str) -> None:
    """Let it work again, and see at once whether there is something for it."""
    presence.resume(agent, by=by)
    match()


def pause(agent: Agent, by: str) -> None:
    """No new work for it."""
    presence.pause(agent, by=by)


def retire(agent: Agent, by: str) -> None:
    """Out of service for good."""
    presence.retire(agent, by=by)


def restart(agent: Agent, by: str) -> None:
    """A new process of its sidecar, once its work is over."""
    restarts.ask(agent, by=by)


def restart_now(agent: Agent, by: str) -> None:
    """The same, and its work is handed back."""
    restarts.ask(agent, now=True, by=by)


def withdraw(agent: Agent, by: str) -> None:
    """No restart, and see at once whether there is something for it."""
    restarts.withdraw(agent, by=by)
    match()


VERBS: Mapping[str, Callable[[Agent, str], None]] = {
    "pause": pause,
    "resume": resume,
    "restart": restart,
    "restart-now": restart_now,
    "keep": withdraw,
    "retire": retire,
}


@require_POST
def agent_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/agents/<id>/<verb>`"""
    if verb not in VERBS:
        raise Http404
    agent = get_object_or_404(Agent, pk=pk)
    return act(
        lambda: VERBS[verb](agent, person(request).get_username()),
        then=reverse("agents"),
        refused=lambda no: agents_page(request, refused=no),
    )
