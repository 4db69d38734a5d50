"""Routing rules in the admin: one for each tier, to be changed, never added or taken away."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.endpoints import rules
from apps.endpoints.models import RoutingRule


@admin.register(RoutingRule)
class RoutingRuleAdmin(admin.ModelAdmin[RoutingRule]):
    """Which model does which work; the next assignment obeys."""

    list_display = ["tier", "in_order", "wait_seconds"]
    readonly_fields = ["tier"]

    @admin.display(description="chain")
    def in_order(self, rule: RoutingRule) -> str:
        """The grades as they are tried."""
        return " → ".join(rule.chain)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Through the one verb that remembers who did it."""
        rules.change(obj.tier, obj.chain, obj.wait_seconds, by=request.user.get_username())
