"""Tasks in the admin: everything can be seen; cancel and retry go through the actions, nothing else changes a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from apps.events.admin import Shown
from apps.events.refused import Refused
from apps.tasks import actions as verbs
from apps.tasks.models import Attempt, Dependency, Task


class AttemptsOfTask(admin.TabularInline[Attempt, Task]):
    model = Attempt
    fields = readonly_fields = (
        "id",
        "agent",
        "outcome",
        "generation",
        "assigned_at",
        "ended_at",
        "error_code",
        "error",
    )
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PrerequisitesOfTask(admin.TabularInline[Dependency, Task]):
    model = Dependency
    fk_name = "task"
    fields = readonly_fields = ("prerequisite",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Task)
class TaskAdmin(Shown[Task]):
    """The queue and everything that went through it."""

    list_display = ["id", "title", "status", "lane", "repo", "executor", "failures", "reclaims", "created_at"]
    list_filter = ["status", "lane", "work", "repo"]
    list_select_related = ["repo"]
    search_fields = ["title", "=id"]
    show_full_result_count = False
    inlines = [AttemptsOfTask, PrerequisitesOfTask]
    actions = ["cancel", "retry"]

    @admin.action(description="Cancel", permissions=["act"])
    def cancel(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        """Stop what runs; the record stays."""
        self._each(request, tasks, verbs.cancel, "cancelled")

    @admin.action(description="Retry (out of the dead letter)", permissions=["act"])
    def retry(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        """With fresh attempts."""
        self._each(request, tasks, verbs.revive, "queued again")

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Actions change tasks, so they need the right to, though no form does."""
        return request.user.has_perm("tasks.change_task")

    def _each(self, request: HttpRequest, tasks: QuerySet[Task], verb: Callable[..., None], done: str) -> None:
        for pk in tasks.values_list("pk", flat=True):
            task = get_object_or_404(Task, pk=pk)
            try:
                verb(task, by=request.user.get_username())
            except Refused as refused:
                self.message_user(request, f"{task}: {refused.message}", messages.WARNING)
            else:
                self.message_user(request, f"{task}: {done}.", messages.SUCCESS)


@admin.register(Attempt)
class AttemptAdmin(Shown[Attempt]):
    """Every try, with its decision, result and reports."""

    list_display = ["id", "task", "agent", "outcome", "generation", "assigned_at", "ended_at", "error_code"]
    list_filter = ["outcome", "agent"]
    list_select_related = ["task", "agent"]
    search_fields = ["=task__id"]
    show_full_result_count = False
