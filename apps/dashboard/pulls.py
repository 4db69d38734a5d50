"""The pages of pull requests: the list, and one with its diff, its evidence and what was said."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.conf import settings
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.dashboard.paging import page_of
from apps.events.models import Event
from apps.events.refused import Refused
from apps.forge import lifecycle
from apps.forge.evidence import parts_of, reproduce
from apps.forge.lifecycle import PullStatus
from apps.forge.mergeable import Objection, objection
from apps.forge.merging import standing
from apps.forge.models import PullRequest, Verification
from apps.repos import diff
from apps.repos.diff import Patch
from apps.repos.models import Repo
from apps.repos.trusted import GitFailed

HISTORY_SHOWN = 50
MAX_SHOWN = 200_000
"""Bytes of a difference on one page; the rest is a git command away."""


class PullFilter(forms.Form):
    """How the list is narrowed."""

    status = forms.ChoiceField(choices=[("", "any status"), *lifecycle.PULL.choices], required=False)
    repo = forms.ModelChoiceField(
        Repo.objects.all(), required=False, to_field_name="slug", empty_label="any repository", label="Repository"
    )


@require_safe
def pulls(request: HttpRequest) -> HttpResponse:
    """`/pulls`: newest first, filtered, in pages."""
    wanted = PullFilter(request.GET or None)
    rows = PullRequest.objects.select_related("repo").prefetch_related("verifications")
    if wanted.is_valid():
        if status := wanted.cleaned_data["status"]:
            rows = rows.filter(status=status)
        if repo := wanted.cleaned_data["repo"]:
            rows = rows.filter(repo=repo)
    context = {"filter": wanted, "page": page_of(rows, request), "watch": "dashboard needs-you"}
    return render(request, "pulls.html", context)


@require_safe
def pull(request: HttpRequest, pk: int) -> HttpResponse:
    """`/pulls/<id>`"""
    return pull_page(request, pk)


@dataclass(frozen=True)
class Shown:
    """The difference, or why it cannot be shown."""

    patch: Patch | None
    reason: str = ""


def difference(pull: PullRequest) -> Shown:
    """Read it from the mirror's objects."""
    try:
        return Shown(diff.patch(pull.repo.mirror, pull.base, pull.head, max_bytes=MAX_SHOWN))
    except Refused as no:
        return Shown(None, no.message)
    except GitFailed as failed:
        return Shown(None, f"The mirror does not show it: {failed.reason}")


def pull_page(
    request: HttpRequest, pk: int, *, refused: Refused | None = None, verb: str = "", typed: str = ""
) -> HttpResponse:
    """Everything about one pull request; `refused` stands beside the button of `verb`, `typed` is not lost."""
    verifications = Prefetch("verifications", Verification.objects.select_related("verifier", "author", "task"))
    rows = PullRequest.objects.select_related("repo", "task", "attempt", "attempt__agent", "ended_by")
    found = get_object_or_404(rows.prefetch_related(verifications), pk=pk)
    against = merge_objection(found)
    hub = settings.BASE_URL or request.build_absolute_uri("/").rstrip("/")
    verification = next(iter(found.verifications.all()), None)
    context = {
        "pull": found,
        "watch": f"{found.group} task.{found.task_id}",
        "parts": parts_of(found),
        "here": reverse("pull", args=[pk]),
        "reproduce": reproduce(found, verification, hub),
        "shown": difference(found),
        "verification": verification,
        "verifications": list(found.verifications.all()),
        "author_report": found.attempt.reports[-1] if found.attempt.reports else None,
        "comments": list(found.comments.select_related("task")),
        "against": against,
        "stale": against is not None and against.code == "verification_stale",
        "is_open": found.status == PullStatus.OPEN,
        "history": _history(found),
        "refused": refused,
        "verb": verb,
        "typed": typed,
    }
    return render(request, "pull.html", context)


def _history(pull: PullRequest) -> list[Event]:
    """What happened to it and to its verifications, newest first."""
    subjects = [f"pullrequest/{pull.pk}", *(f"verification/{one.pk}" for one in pull.verifications.all())]
    return list(Event.objects.filter(subject__in=subjects).order_by("-id")[:HISTORY_SHOWN])


def merge_objection(pull: PullRequest) -> Objection | None:
    """Why it cannot be merged as things stand, or None."""
    try:
        return objection(standing(pull))
    except (GitFailed, Refused) as no:
        reason = no.reason if isinstance(no, GitFailed) else no.message
        return Objection("mirror", f"The mirror does not answer: {reason}")
