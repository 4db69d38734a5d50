"""Events in the admin, to be read; and what every page of the admin here has in common."""

from __future__ import annotations

from typing import Generic, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.events.models import Event

Row = TypeVar("Row", bound=Model)


class Shown(admin.ModelAdmin[Row], Generic[Row]):
    """Rows that are only looked at: what changes them are the actions of their room, never a form."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Event)
class EventAdmin(Shown[Event]):
    """The memory of the hub."""

    list_display = ["at", "subject", "kind", "actor"]
    list_filter = ["kind"]
    search_fields = ["=subject"]
    show_full_result_count = False
