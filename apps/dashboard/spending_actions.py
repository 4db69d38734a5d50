"""What the page of spending can do."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.dashboard.access import person
from apps.ledger import pauses


@require_POST
def spending_lift(request: HttpRequest) -> HttpResponse:
    """`/spending/lift`: let spending go on after it was paused."""
    pauses.lift(by=person(request).get_username())
    return HttpResponseRedirect(reverse("spending"))
