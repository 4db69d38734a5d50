"""The buttons of a pull request's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.dashboard.pulls import pull_page
from apps.events.refused import Invalid, Refused
from apps.forge import actions, merging, verification
from apps.forge.models import PullRequest

MAX_BODY = 10_000
JUDGEMENTS = frozenset({"approve", "request-changes", "merge"})
"""What a person may only say about what they have seen."""


class Moved(Refused):
    """New work was pushed since you opened this page; look at it before you decide."""


@dataclass(frozen=True)
class Pressed:
    """A button that somebody pressed, and what the form said."""

    pull: PullRequest
    user: User
    body: str
    method: str


def comment(pressed: Pressed) -> None:
    """Say something."""
    if not pressed.body:
        raise Invalid("body", "Write what you want to say.")
    actions.comment(pressed.pull, pressed.user, pressed.body)


def approve(pressed: Pressed) -> None:
    """Approve, with or without words."""
    actions.approve(pressed.pull, pressed.user, pressed.body)


def request_changes(pressed: Pressed) -> None:
    """Send it back as work; needs words, because they become the brief."""
    if not pressed.body:
        raise Invalid("body", "Write what should change; it becomes the agent's brief.")
    actions.request_changes(pressed.pull, pressed.user, pressed.body)


def merge(pressed: Pressed) -> None:
    """Into the base branch."""
    if pressed.method not in {"merge", "squash"}:
        raise Invalid("method", "Choose a merge commit or a squash.")
    merging.merge(pressed.pull, pressed.user, method="squash" if pressed.method == "squash" else "merge")


def close(pressed: Pressed) -> None:
    """Without merging."""
    actions.close(pressed.pull, pressed.user)


def verify(pressed: Pressed) -> None:
    """Repeat the checks."""
    verification.verify(pressed.pull, by=pressed.user.get_username())


VERBS: Mapping[str, Callable[[Pressed], None]] = {
    "comment": comment,
    "approve": approve,
    "request-changes": request_changes,
    "merge": merge,
    "close": close,
    "verify": verify,
}


@require_POST
def pull_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/pulls/<id>/<verb>`"""
    if verb not in VERBS:
        raise Http404
    body = request.POST.get("body", "").replace("\r\n", "\n").strip()
    pull = get_object_or_404(PullRequest.objects.select_related("repo", "task", "attempt"), pk=pk)
    pressed = Pressed(pull, person(request), body, request.POST.get("method", "merge"))

    def work() -> None:
        if len(body) > MAX_BODY or "\0" in body:
            raise Invalid("body", f"At most {MAX_BODY} characters of text.")
        if verb in JUDGEMENTS and request.POST.get("head") != pull.head:
            raise Moved("head_moved")
        VERBS[verb](pressed)

    return act(
        work,
        then=reverse("pull", args=[pk]),
        refused=lambda no: pull_page(request, pk, refused=no, verb=verb, typed=body),
    )
