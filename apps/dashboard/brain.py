"""The page of what the hub does by itself: its state and why, where it goes next, its budgets, and where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from apps.brain import actions, read
from apps.brain.budgets import Purse
from apps.brain.models import Stay
from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.events.refused import Refused
from apps.ledger.pricing import dollars

NEARLY, MUCH = 80, 50
"""Percent of a budget from which on its bar is red, and yellow."""


@require_safe
def brain(request: HttpRequest) -> HttpResponse:
    """`/brain`"""
    return brain_page(request)


def brain_page(request: HttpRequest, refused: Refused | None = None) -> HttpResponse:
    """Everything, and beside the button why it was refused."""
    found = read.report()
    context = {
        "watch": "dashboard brain",
        "here": reverse("brain"),
        "brain": found,
        "stays": [Shown(stay) for stay in found.stays],
        "shelves": shelves(found.budgets),
        "refused": refused,
    }
    return render(request, "brain.html", context)


@dataclass(frozen=True)
class Shown:
    """A stay, and how long it lasted in milliseconds; None while it does."""

    stay: Stay

    @property
    def ms(self) -> float | None:
        """What the page writes out."""
        return None if self.stay.seconds is None else self.stay.seconds * 1_000


@dataclass(frozen=True)
class Bar:
    """How much of one limit is used, in words and as the width of a bar."""

    purse: Purse

    @property
    def words(self) -> str:
        """`3 of 20 calls`."""
        if self.purse.measure == "micro":
            return f"{dollars(self.purse.used)} of {dollars(self.purse.limit)}"
        return f"{self.purse.used:,} of {self.purse.limit:,} {self.purse.measure}"

    @property
    def tone(self) -> str:
        """Its colour."""
        percent = self.purse.percent
        return "bad" if percent > NEARLY else "warn" if percent > MUCH else ""


@dataclass(frozen=True)
class Shelf:
    """The limits of one state; without a name those that all states share."""

    state: str
    bars: Sequence[Bar]


def shelves(purses: Sequence[Purse]) -> list[Shelf]:
    """Budgets by state, in the order in which they come."""
    return [Shelf(state, [Bar(one) for one in found]) for state, found in groupby(purses, lambda purse: purse.state)]


def pause(request: HttpRequest, by: str) -> None:
    """Begin nothing by itself."""
    actions.pause(by=by, reason=request.POST.get("reason", "").strip()[: actions.LONGEST_REASON])


def resume(_request: HttpRequest, by: str) -> None:
    """Go on."""
    actions.resume(by=by)


VERBS: Mapping[str, Callable[[HttpRequest, str], None]] = {"pause": pause, "resume": resume}


@require_POST
def brain_act(request: HttpRequest, verb: str) -> HttpResponse:
    """`/brain/<verb>`"""
    if verb not in VERBS:
        raise Http404
    return act(
        lambda: VERBS[verb](request, person(request).get_username()),
        then=reverse("brain"),
        refused=lambda no: brain_page(request, refused=no),
    )
