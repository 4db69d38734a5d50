"""Every route with every role. A route that is not in the table, or a method that nobody thought of, fails.

"In" means that the guard let the request through, whatever became of it then: the rows that it names do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.utils import timezone

from apps.agents import tokens
from apps.agents.models import Agent, Token
from apps.agents.scopes import SCOPES

pytestmark = pytest.mark.one_database  # who may is decided before the database is asked for anything but the token

IN, UNKNOWN, FORBIDDEN, LOGIN = "in", "401", "403", "to the login page"
SAMPLES = {"int": "999999", "id": "999999", "slug": "x", "str": "x", "path": "x"}
ROLES = ("anonymous", "operator", "agent", "bare", "integration", "reader", "expired", "revoked")


def guard(default: str, **others: str) -> Mapping[str, str]:
    return {role: others.get(role, default) for role in ROLES}


ANYBODY = guard(IN)
READ = guard(UNKNOWN, integration=IN, reader=IN, bare=FORBIDDEN, agent=FORBIDDEN)
WRITE = guard(UNKNOWN, integration=IN, reader=FORBIDDEN, bare=FORBIDDEN, agent=FORBIDDEN)
AGENTS = guard(UNKNOWN, agent=IN, integration=FORBIDDEN, reader=FORBIDDEN, bare=FORBIDDEN)
OPERATORS = guard(LOGIN, operator=IN)

API: Mapping[str, Mapping[str, str]] = {
    "GET api/health": ANYBODY,
    "GET api/schemas": ANYBODY,
    "GET api/schemas/<str:name>": ANYBODY,
    "GET api/openapi.json": ANYBODY,
    "POST api/enrol": ANYBODY,
    "GET api/tasks": READ,
    "POST api/tasks": WRITE,
    "GET api/tasks/<int:pk>": READ,
    "POST api/tasks/<int:pk>/cancel": WRITE,
    "POST api/tasks/<int:pk>/retry": WRITE,
    "GET api/tasks/<int:pk>/history": READ,
    "GET api/tasks/<int:pk>/progress": READ,
    "GET api/tasks/<int:pk>/trajectory": READ,
    "POST api/tasks/<int:pk>/prerequisites": WRITE,
    "DELETE api/tasks/<int:pk>/prerequisites/<int:prerequisite>": WRITE,
    "GET api/goals": READ,
    "POST api/goals": WRITE,
    "GET api/goals/<int:pk>": READ,
    "PATCH api/goals/<int:pk>": WRITE,
    "POST api/goals/<int:pk>/approve": WRITE,
    "POST api/goals/<int:pk>/cancel": WRITE,
    "POST api/goals/<int:pk>/go-on": WRITE,
    "POST api/goals/<int:pk>/resubmit": WRITE,
    "GET api/goals/<int:pk>/plan": READ,
    "GET api/goals/<int:pk>/history": READ,
    "GET api/goals/<int:pk>/goal.xml": READ,
    "GET api/goals/<int:pk>/plan.xml": READ,
    "GET api/agents": READ,
    "GET api/agents/<slug:name>": READ,
    "POST api/agents/<slug:name>/pause": WRITE,
    "POST api/agents/<slug:name>/resume": WRITE,
    "POST api/agents/<slug:name>/restart": WRITE,
    "DELETE api/agents/<slug:name>/restart": WRITE,
    "POST api/agents/<slug:name>/retire": WRITE,
    "POST api/agents/enrolment-codes": WRITE,
    "GET api/endpoints": READ,
    "POST api/endpoints": WRITE,
    "GET api/endpoints/<int:pk>": READ,
    "PATCH api/endpoints/<int:pk>": WRITE,
    "DELETE api/endpoints/<int:pk>": WRITE,
    "POST api/endpoints/<int:pk>/drain": WRITE,
    "POST api/endpoints/<int:pk>/resume": WRITE,
    "POST api/endpoints/<int:pk>/look": WRITE,
    "POST api/endpoints/<int:pk>/restart": WRITE,
    "GET api/hosts": READ,
    "GET api/agent/tasks": AGENTS,
    "GET api/agent/tasks/<int:pk>": AGENTS,
    "POST api/agent/pulls": AGENTS,
    "POST api/agent/pulls/<int:pk>/pushed": AGENTS,
    "GET api/repos": READ,
    "POST api/repos": WRITE,
    "GET api/repos/<str:slug>": READ,
    "PATCH api/repos/<str:slug>": WRITE,
    "POST api/repos/<str:slug>/sync": WRITE,
    "GET api/brain": READ,
    "GET api/brain/history": READ,
    "GET api/brain/snapshot.xml": READ,
    "POST api/brain/pause": WRITE,
    "POST api/brain/resume": WRITE,
    "GET api/pulls": READ,
    "GET api/pulls/<int:pk>": READ,
    "GET api/pulls/<int:pk>/diff": READ,
    "GET api/pulls/<int:pk>/evidence": READ,
    "GET api/pulls/<int:pk>/comments": READ,
    "POST api/pulls/<int:pk>/comments": WRITE,
    "POST api/pulls/<int:pk>/approve": WRITE,
    "POST api/pulls/<int:pk>/request-changes": WRITE,
    "POST api/pulls/<int:pk>/merge": WRITE,
    "POST api/pulls/<int:pk>/close": WRITE,
    "POST api/pulls/<int:pk>/verify": WRITE,
    "GET api/health/report": READ,
    "GET api/healing": READ,
    "GET api/alerts": READ,
    "POST api/alerts/<int:pk>/acknowledge": WRITE,
    "GET api/tokens": WRITE,
    "POST api/tokens": WRITE,
    "POST api/tokens/<int:pk>/rotate": WRITE,
    "POST api/tokens/<int:pk>/revoke": WRITE,
}
PAGES: Mapping[str, Mapping[str, str]] = {
    "login": ANYBODY,
    "login/<str:secret>": ANYBODY,
    "logout": ANYBODY,
    "": OPERATORS,
    "goals": OPERATORS,
    "goals/new": OPERATORS,
    "goals/<id:pk>": OPERATORS,
    "goals/<id:pk>/edit": OPERATORS,
    "goals/<id:pk>/<slug:verb>": OPERATORS,
    "tasks": OPERATORS,
    "tasks/new": OPERATORS,
    "tasks/<id:pk>": OPERATORS,
    "tasks/<id:pk>/<slug:verb>": OPERATORS,
    "attempts/<id:pk>": OPERATORS,
    "dead": OPERATORS,
    "pulls": OPERATORS,
    "pulls/<id:pk>": OPERATORS,
    "pulls/<id:pk>/<slug:verb>": OPERATORS,
    "agents": OPERATORS,
    "agents/<id:pk>/<slug:verb>": OPERATORS,
    "agents/code": OPERATORS,
    "health": OPERATORS,
    "health/rehearse": OPERATORS,
    "alerts/<id:pk>/<slug:verb>": OPERATORS,
    "brain": OPERATORS,
    "brain/<slug:verb>": OPERATORS,
    "spending": OPERATORS,
    "machines": OPERATORS,
    "endpoints/<id:pk>/<slug:verb>": OPERATORS,
    "spending/lift": OPERATORS,
    "repos": OPERATORS,
    "repos/<id:pk>/<slug:verb>": OPERATORS,
}
ADMIN_OPEN = {"admin/login/", "admin/logout/"}


def routes(patterns: list[Any] | None = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every route of the URLconf, as it is written, with its view."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield (route if isinstance(entry.pattern, RoutePattern) else f"{before}nothing-else"), entry.callback


def address(route: str) -> str:
    """A path that the route matches, naming rows that do not exist."""
    return "/" + re.sub(r"<(?:(\w+):)?\w+>", lambda found: SAMPLES[found.group(1) or "str"], route)


def methods_of(view: Any) -> list[str]:
    names = [name for name in ("get", "post", "put", "patch", "delete") if hasattr(view.cls, name)]
    return [name.upper() for name in names]


@pytest.fixture
def callers(db) -> Mapping[str, Client]:
    """Somebody of each role, with what proves it."""
    ada = User.objects.create_superuser("ada")
    operator = Client(raise_request_exception=False)
    operator.force_login(ada)
    scopes = list(SCOPES)
    ship = Agent.objects.create(name="carry-the-one")
    later = timezone.now() + timedelta(hours=1)
    made: dict[str, tuple[Token, str]] = {
        "agent": tokens.mint("agent", agent=ship, by="tests"),
        "bare": tokens.mint("integration", user=ada, by="tests"),
        "integration": tokens.mint("integration", user=ada, scopes=scopes, by="tests"),
        "reader": tokens.mint("reader", user=ada, by="tests"),
        "expired": tokens.mint("integration", user=ada, scopes=scopes, expires_at=later, by="tests"),
        "revoked": tokens.mint("integration", user=ada, scopes=scopes, by="tests"),
    }
    Token.objects.filter(pk=made["expired"][0].pk).update(expires_at=timezone.now())
    tokens.revoke(made["revoked"][0], by="tests")
    bearers = {
        role: Client(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})
        for role, (_, secret) in made.items()
    }
    return {"anonymous": Client(raise_request_exception=False), "operator": operator, **bearers}


def ended(answer: HttpResponse) -> str:
    if answer.status_code in {301, 302} and "login" in answer["Location"].partition("?")[0]:
        return LOGIN
    if answer.status_code in {401, 403}:
        return str(answer.status_code)
    return IN if answer.status_code < 500 else f"failed with {answer.status_code}"


def walk(callers: Mapping[str, Client], method: str, route: str) -> dict[str, str]:
    kind = "application/json" if route.startswith("api/") else "application/x-www-form-urlencoded"
    return {
        role: ended(callers[role].generic(method, address(route), content_type=kind))  # type: ignore[arg-type]  # a response
        for role in ROLES
    }


def test_every_method_of_every_api_route_is_in_the_table():
    found = {f"{method} {route}" for route, view in routes() if route.startswith("api/") for method in methods_of(view)}

    assert set(API) == found


def test_every_page_is_in_the_table():
    found = {route for route, _ in routes() if not route.startswith(("api/", "admin/"))}

    assert set(PAGES) == found


@pytest.mark.parametrize("entry", API)
def test_a_route_of_the_api_lets_in_whom_the_table_says(callers, entry):
    method, _, route = entry.partition(" ")

    assert API[entry] == walk(callers, method, route)


@pytest.mark.parametrize("entry", API)
def test_a_method_that_a_route_does_not_have_is_not_let_in_by_accident(callers, entry):
    _, _, route = entry.partition(" ")
    if API[entry] is ANYBODY:
        return
    missing = {"GET", "POST", "PUT", "PATCH", "DELETE"} - {
        each.partition(" ")[0] for each in API if each.endswith(f" {route}")
    }

    for method in sorted(missing):
        assert callers["anonymous"].generic(method, address(route)).status_code in {401, 404, 405}
        assert callers["integration"].generic(method, address(route)).status_code in {403, 404, 405}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("route", PAGES)
def test_a_page_lets_in_whom_the_table_says(callers, route, method):
    if route == "logout":
        assert set(walk(callers, method, route).values()) <= {IN, LOGIN}
        return

    assert PAGES[route] == walk(callers, method, route)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_admin_is_for_operators_only(callers, method):
    for route in sorted({route for route, _ in routes() if route.startswith("admin/")} - ADMIN_OPEN):
        found = walk({**callers, "operator": callers["anonymous"]}, method, route)

        assert {LOGIN} == set(found.values()), f"{route}: {found}"


def test_an_operator_who_is_barred_loses_every_token(callers):
    User.objects.update(is_active=False)
    tokens._memory.forget()

    for role in ("bare", "integration", "reader"):
        assert UNKNOWN == ended(callers[role].get("/api/tasks"))


def test_a_user_who_is_no_operator_any_more_cannot_administer(callers):
    User.objects.update(is_staff=False, is_superuser=False)
    tokens._memory.forget()

    assert FORBIDDEN == ended(callers["integration"].get("/api/tokens"))
    assert IN == ended(callers["integration"].get("/api/tasks"))
