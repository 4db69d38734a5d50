"""Repositories in the admin: settings go through the room's actions, and nothing with a history is deleted."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from apps.events.refused import Refused
from apps.repos import actions
from apps.repos.models import Repo
from apps.repos.trusted import without_passwords

CHANGEABLE = ("place", "max_running", "protected_paths", "checks", "approve_plans")
READ_ONLY = ("slug", "upstream", "default_branch", "paused", "created_at", "synced_at", "sync_error")


@admin.register(Repo)
class RepoAdmin(admin.ModelAdmin[Repo]):
    """Order, pause, limits and protected paths; a repository is registered by `manage.py add_repo`, page or API."""

    list_display = ["slug", "upstream", "default_branch", "place", "paused", "max_running", "synced_at", "sync_error"]
    list_filter = ["paused"]
    search_fields = ["slug"]
    actions = ["pause", "resume", "sync"]
    fields = [*CHANGEABLE, *READ_ONLY]

    @admin.display(description="upstream")
    def upstream(self, repo: Repo) -> str:
        return without_passwords(repo.url) or "none; the hub's own copy is the repository"

    def get_readonly_fields(self, request: HttpRequest, obj: Repo | None = None) -> list[str]:
        return [*READ_ONLY]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Repo | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Repo, form: ModelForm[Repo], change: bool) -> None:
        fields = {name: form.cleaned_data[name] for name in CHANGEABLE if name in form.changed_data}
        try:
            actions.change(Repo.objects.get(pk=obj.pk), by=request.user.get_username(), **fields)
        except Refused as refused:
            self.message_user(request, refused.message, messages.ERROR)

    @admin.action(description="Pause: tasks wait", permissions=["change"])
    def pause(self, request: HttpRequest, repos: QuerySet[Repo]) -> None:
        for repo in repos:
            actions.pause(repo, by=request.user.get_username())

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, repos: QuerySet[Repo]) -> None:
        for repo in repos:
            actions.resume(repo, by=request.user.get_username())

    @admin.action(description="Bring up to date with the upstream", permissions=["change"])
    def sync(self, request: HttpRequest, repos: QuerySet[Repo]) -> None:
        for repo in repos:
            try:
                actions.sync(repo)
            except Refused as refused:
                self.message_user(request, f"{repo.slug}: {refused.message}", messages.ERROR)
