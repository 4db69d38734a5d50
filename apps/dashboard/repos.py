"""The page of repositories: the list, a form for another one, and their buttons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.events.refused import Refused
from apps.repos import actions
from apps.repos.models import Repo
from apps.repos.trusted import without_passwords
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt

MAX_SOURCE = 500


@require_http_methods(["GET", "HEAD", "POST"])
def repos(request: HttpRequest) -> HttpResponse:
    """`/repos`: the list; a POST registers one more."""
    if request.method != "POST":
        return repos_page(request)
    typed = {name: request.POST.get(name, "").strip()[:MAX_SOURCE] for name in ("source", "slug", "default_branch")}
    try:
        actions.register(
            typed["source"],
            by=person(request).get_username(),
            slug=typed["slug"],
            default_branch=typed["default_branch"],
        )
    except Refused as no:
        response = repos_page(request, typed=typed, refused=no)
        response.status_code = no.status
        return response
    return HttpResponseRedirect(reverse("repos"))


def repos_page(
    request: HttpRequest,
    *,
    typed: Mapping[str, str] | None = None,
    refused: Refused | None = None,
    about: int | None = None,
) -> HttpResponse:
    """All repositories; `refused` stands beside the form, or beside the repository with the id `about`."""
    held = Attempt.objects.open().filter(repo__isnull=False).values_list("repo").annotate(number=Count("pk")).order_by()
    running = dict(held)
    rows: list[Any] = list(Repo.objects.all())
    for repo in rows:
        repo.shown_url = without_passwords(repo.url)
        repo.running = running.get(repo.pk, 0)
    context = {
        "rows": rows,
        "watch": "dashboard",
        "typed": typed or {},
        "refused": refused,
        "about": about,
        "here": reverse("repos"),
    }
    return render(request, "repos.html", context)


def pause(repo: Repo, by: str) -> None:
    """Its tasks wait."""
    actions.pause(repo, by=by)


def resume(repo: Repo, by: str) -> None:
    """Its tasks run again, at once if an agent is free."""
    actions.resume(repo, by=by)
    match()


def sync(repo: Repo, _by: str) -> None:
    """Fetch what is new upstream."""
    actions.sync(repo)


VERBS: Mapping[str, Callable[[Repo, str], None]] = {"pause": pause, "resume": resume, "sync": sync}


@require_POST
def repo_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/repos/<id>/<verb>`"""
    if verb not in VERBS:
        raise Http404
    repo = get_object_or_404(Repo, pk=pk)
    return act(
        lambda: VERBS[verb](repo, person(request).get_username()),
        then=reverse("repos"),
        refused=lambda no: repos_page(request, refused=no, about=pk),
    )
