"""The dead letter: what ran out of attempts, with its evidence, and a way back."""

from __future__ import annotations

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard import counting
from apps.dashboard.paging import page_of
from apps.tasks.models import Attempt

PAGE = 20


@require_safe
def dead(request: HttpRequest) -> HttpResponse:
    """`/dead`"""
    attempts = Prefetch("attempts", Attempt.objects.select_related("agent").order_by("-id"), to_attr="tries")
    page = page_of(counting.dead_letter().select_related("repo").prefetch_related(attempts), request, PAGE)
    context = {"page": page, "watch": "dashboard needs-you", "count": counting.capped(counting.dead_letter())}
    return render(request, "dead.html", context)
