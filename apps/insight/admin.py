"""Checkups in the admin, to be read."""

from __future__ import annotations

from django.contrib import admin

from apps.events.admin import Shown
from apps.insight.models import Checkup


@admin.register(Checkup)
class CheckupAdmin(Shown[Checkup]):
    """How the default branches were, commit by commit."""

    list_display = ["at", "repo", "commit", "status", "note", "ended_at"]
    list_filter = ["status", "repo"]
    list_select_related = ["repo"]
