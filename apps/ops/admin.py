"""Alerts in the admin: looked at, and acknowledged. What healing did, to be read."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.events.admin import Shown
from apps.events.refused import Refused
from apps.ops import alerts
from apps.ops.models import Alert, Remedy


@admin.register(Alert)
class AlertAdmin(Shown[Alert]):
    """What people should know of, until it is over."""

    list_display = ["severity", "message", "key", "raised_at", "times", "last_seen_at", "acknowledged_by", "cleared_at"]
    list_filter = ["severity", ("cleared_at", admin.EmptyFieldListFilter)]
    search_fields = ["key", "message"]
    actions = ["acknowledge"]

    @admin.action(description="Acknowledge: somebody has seen it", permissions=["view"])
    def acknowledge(self, request: HttpRequest, found: QuerySet[Alert]) -> None:
        for alert in found:
            try:
                alerts.acknowledge(alert, by=request.user.get_username())
            except Refused as refused:
                self.message_user(request, f"{alert.key}: {refused.message}", messages.ERROR)


@admin.register(Remedy)
class RemedyAdmin(Shown[Remedy]):
    """What healing did, and what came of it."""

    list_display = ["at", "round", "category", "subject", "action", "outcome", "detail"]
    list_filter = ["category", "outcome"]
    search_fields = ["subject"]
