"""Pages by position, not by number: the cost of page 1,000 is that of page 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

PAGE = 50


@dataclass(frozen=True)
class Page:
    """Rows by falling id; `older` is the query string of what comes after them, or empty."""

    rows: list[Any]
    older: str
    newest: bool


def page_of(rows: QuerySet[Any], request: HttpRequest, size: int = PAGE) -> Page:
    """The page that `?before=<id>` asks for; the newest rows when it says nothing sensible."""
    before = request.GET.get("before", "")
    starts_anywhere = not (before.isascii() and before.isdigit() and len(before) <= 18)
    if not starts_anywhere:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.order_by("-pk")[: size + 1])
    older = ""
    if len(found) > size:
        query = request.GET.copy()
        query["before"] = str(found[size - 1].pk)
        older = query.urlencode()
    return Page(found[:size], older, newest=starts_anywhere)
