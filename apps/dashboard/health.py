"""The page of what is wrong with the hub: the report, alerts, and what healing did or would do."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.events.refused import Refused
from apps.ops import alerts, healing, health
from apps.ops.healing import Healed
from apps.ops.models import Alert

ALERTS_SHOWN, OVER_SHOWN, REMEDIES_SHOWN = 50, 10, 30
ROOMS = {"agent": "agents", "endpoint": "machines", "repo": "repos", "queue": "tasks"}
"""Where what a trouble is about can be seen."""


@require_safe
def health_report(request: HttpRequest) -> HttpResponse:
    """`/health`"""
    return health_page(request)


@require_POST
def rehearse(request: HttpRequest) -> HttpResponse:
    """`/health/rehearse`: answered with the page itself, because nothing was done that could be looked up later."""
    return health_page(request, rehearsed=healing.heal(dry_run=True))


def health_page(
    request: HttpRequest, *, rehearsed: Healed | None = None, refused: Refused | None = None, about: int | None = None
) -> HttpResponse:
    """Everything; `refused` stands beside the alert with the id `about`."""
    open_alerts = Alert.objects.open().order_by("acknowledged_at", "severity", "-pk")
    report = health.report()
    context = {
        "watch": "dashboard needs-you",
        "here": reverse("health_report"),
        "report": report,
        "issues": [Subject(issue) for issue in report.issues],
        "alerts": list(open_alerts[:ALERTS_SHOWN]),
        "over": list(Alert.objects.filter(cleared_at__isnull=False).order_by("-cleared_at")[:OVER_SHOWN]),
        "remedies": [Subject(one) for one in health.last_remedies(REMEDIES_SHOWN)],
        "rehearsed": [Subject(one) for one in rehearsed.actions] if rehearsed is not None else None,
        "refused": refused,
        "about": about,
    }
    return render(request, "health.html", context)


@dataclass(frozen=True)
class Subject:
    """Something with a subject such as `task/7`, and where that can be seen."""

    of: object

    @property
    def href(self) -> str:
        """Its page; empty when it has none."""
        room, _, name = str(getattr(self.of, "subject", "")).partition("/")
        if room in {"task", "goal"} and name.isascii() and name.isdigit() and len(name) <= 18:
            return reverse(room, args=[int(name)])
        return reverse(ROOMS[room]) if room in ROOMS else ""


@require_POST
def alert_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/alerts/<id>/acknowledge`"""
    if verb != "acknowledge":
        raise Http404
    alert = get_object_or_404(Alert, pk=pk)
    return act(
        lambda: alerts.acknowledge(alert, by=person(request).get_username()),
        then=reverse("health_report"),
        refused=lambda no: health_page(request, refused=no, about=pk),
    )
