"""The hub itself in the admin: looked at, paused, resumed."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from apps.brain import actions, read
from apps.brain.models import Brain, Stay
from apps.brain.read import Report
from apps.events.admin import Shown


def _report(brain: Brain) -> Report:
    """Made once for the row of one request, however many columns show something of it."""
    made: Report | None = getattr(brain, "_shown", None)
    if made is None:
        made = read.report(stays=0)
        setattr(brain, "_shown", made)  # noqa: B010  no field of a brain
    return made


@admin.register(Brain)
class BrainAdmin(Shown[Brain]):
    """What the hub does by itself. Choose it to pause or resume it."""

    list_display = ["status", "since", "reason", "paused", "next_step", "held_back_by", "transition_count"]
    actions = ["pause", "resume"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("brain.change_brain")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        """A new hub has its row from the first look on."""
        actions.current()
        return super().changelist_view(request, extra_context)

    @admin.display(boolean=True)
    def paused(self, brain: Brain) -> bool:
        return _report(brain).pause is not None

    @admin.display(description="next")
    def next_step(self, brain: Brain) -> str:
        return _report(brain).next or ""

    @admin.display
    def held_back_by(self, brain: Brain) -> str:
        return " ".join(_report(brain).holds)

    @admin.action(description="Pause: begin nothing by itself", permissions=["act"])
    def pause(self, request: HttpRequest, _: QuerySet[Brain]) -> None:
        done = actions.pause(by=request.user.get_username())
        self.message_user(request, "The hub is paused." if done else "It was paused already.", messages.SUCCESS)

    @admin.action(description="Resume", permissions=["act"])
    def resume(self, request: HttpRequest, _: QuerySet[Brain]) -> None:
        done = actions.resume(by=request.user.get_username())
        self.message_user(request, "The hub goes on." if done else "It was not paused.", messages.SUCCESS)


@admin.register(Stay)
class StayAdmin(Shown[Stay]):
    """Where it was, and why."""

    list_display = ["at", "status", "came_from", "reason", "lasted", "alarm"]
    list_filter = ["status", "alarm"]
    show_full_result_count = False

    @admin.display(description="seconds")
    def lasted(self, stay: Stay) -> str:
        return "lasts" if stay.seconds is None else f"{stay.seconds:.0f}"
