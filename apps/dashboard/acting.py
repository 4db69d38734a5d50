"""How a page's button works: call one action; then show what came of it, or the refusal beside the button."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpResponse, HttpResponseRedirect

from apps.events.refused import Refused

Done = TypeVar("Done")


def act(
    work: Callable[[], Done], *, then: str | Callable[[Done], str], refused: Callable[[Refused], HttpResponse]
) -> HttpResponse:
    """Do `work` and go on to the URL `then`, or that of what it made; when it is refused, answer with the page that
    says why.
    """
    try:
        done = work()
    except Refused as no:
        response = refused(no)
        response.status_code = no.status
        return response
    return HttpResponseRedirect(then if isinstance(then, str) else then(done))
