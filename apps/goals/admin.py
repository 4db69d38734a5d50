"""Goals in the admin: handed in, changed and decided by the room's actions; slices and merges are only looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404

from apps.events.admin import Shown
from apps.events.refused import Invalid, Refused
from apps.goals import actions as verbs
from apps.goals import reading
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal, Merge, Plan, Slice, Source

ASKED = ("title", "description", "success_criteria", "checks", "lane", "tags")
"""What may be changed before it has begun."""
FIRST = ("repo", "needs_approval", "file_hints")
"""What is said once, when it is handed in."""


class GoalAdminForm(forms.ModelForm[Goal]):
    """A goal, and the numbers of those that come before it."""

    depends_on = forms.JSONField(
        required=False, label="After goals", help_text="Their numbers as a list, such as [3, 4].", initial=list
    )

    needs_approval = forms.NullBooleanField(
        required=False,
        label="Plan approval",
        widget=forms.Select(choices=[("", "as the repository says"), ("true", "needed"), ("false", "not needed")]),
    )

    class Meta:
        model = Goal
        fields = [*ASKED, *FIRST]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "depends_on" in self.fields:
            self.initial["depends_on"] = reading.prerequisite_ids(self.instance)

    def clean_depends_on(self) -> list[int]:
        """Whole numbers, and no more than a person would write."""
        numbers = self.cleaned_data["depends_on"] or []
        if not isinstance(numbers, list) or not all(isinstance(one, int) and 0 < one < 2**63 for one in numbers):
            raise forms.ValidationError("This is a list of numbers of goals.")
        return numbers

    def clean(self) -> dict[str, Any]:
        """What the act refuses is said beside its field, and nothing typed is lost: it is done once, and undone."""
        said: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                with transaction.atomic():
                    self.act(by="")
                    transaction.set_rollback(True)
            except Refused as refused:
                field = refused.field if isinstance(refused, Invalid) and refused.field in self.fields else None
                self.add_error(field, refused.message)
        return said

    def act(self, *, by: str) -> Goal:
        """Hand it in, or change what was changed: through the verbs, which remember who did it. Raises Refused."""
        said = self.cleaned_data
        if self.instance.pk:
            changed = [name for name in (*ASKED, "depends_on") if name in self.changed_data]
            goal = Goal.objects.get(pk=self.instance.pk)
            verbs.edit(goal, by=by, **{name: said[name] for name in changed})
            return goal
        asked = {name: said[name] for name in (*ASKED, *FIRST)}
        wanted = verbs.Wanted(**asked, depends_on=said["depends_on"], source=Source.ADMIN)
        return verbs.submit(wanted, by=by)[0]


class SlicesOfGoal(admin.TabularInline[Slice, Goal]):
    model = Slice
    fields = readonly_fields = ("number", "title", "round", "after", "tier", "task", "tries", "merged_at")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Goal)
class GoalAdmin(admin.ModelAdmin[Goal]):
    """The backlog and what came of it."""

    form = GoalAdminForm
    list_display = ["id", "title", "status", "waits", "lane", "repo", "source", "pull", "created_at"]
    list_filter = ["status", "lane", "source", "repo"]
    list_select_related = ["repo", "pull"]
    search_fields = ["title", "=id"]
    show_full_result_count = False
    inlines = [SlicesOfGoal]
    actions = ["approve", "go_on", "cancel", "resubmit"]

    @admin.display(description="approval", boolean=True)
    def waits(self, goal: Goal) -> bool | None:
        """Whether its plan is approved; nothing when it needs no approval."""
        return goal.approved_at is not None if goal.needs_approval else None

    def get_fields(self, request: HttpRequest, obj: Goal | None = None) -> Any:
        """What is asked, and below it what became of it."""
        asked = [*ASKED, "depends_on", *FIRST]
        return asked if obj is None else [*asked, *self._known()]

    def get_readonly_fields(self, request: HttpRequest, obj: Goal | None = None) -> list[str]:
        """Less and less can be changed."""
        if obj is None:
            return []
        fixed = [*FIRST, *self._known()]
        if obj.status != GoalStatus.SUBMITTED:
            fixed += [name for name in ASKED if name not in verbs.ALWAYS]
        return fixed

    def get_form(self, request: HttpRequest, obj: Goal | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Without what the form has of its own where that is fixed."""
        kwargs["fields"] = [name for name in [*ASKED, *FIRST] if name not in self.get_readonly_fields(request, obj)]
        return super().get_form(request, obj, change, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Goal | None) -> Any:
        """A new goal has no slices."""
        return [] if obj is None else self.inlines

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Goal | None = None) -> bool:
        """What has ended is only looked at."""
        return super().has_change_permission(request, obj) and (obj is None or not obj.is_final)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Actions change goals that no form does, ended ones among them."""
        return request.user.has_perm("goals.change_goal")

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What an action refuses only now, since somebody else was faster, is said on the page."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except Refused as refused:
            self.message_user(request, refused.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Goal, form: Any, change: bool) -> None:
        """Through the room's actions."""
        obj.pk = form.act(by=request.user.get_username()).pk

    @staticmethod
    def _known() -> list[str]:
        shown = {field.name for field in Goal._meta.fields} - {*ASKED, *FIRST, "id", "claim", "claim_until"}
        return [field.name for field in Goal._meta.fields if field.name in shown]

    @admin.action(description="Approve the plan", permissions=["act"])
    def approve(self, request: HttpRequest, goals: QuerySet[Goal]) -> None:
        """It may be carried out."""
        self._each(request, goals, verbs.approve, "approved")

    @admin.action(description="Continue (out of review)", permissions=["act"])
    def go_on(self, request: HttpRequest, goals: QuerySet[Goal]) -> None:
        """The hub tries again."""
        self._each(request, goals, verbs.go_on, "goes on")

    @admin.action(description="Cancel, with its tasks", permissions=["act"])
    def cancel(self, request: HttpRequest, goals: QuerySet[Goal]) -> None:
        """The record stays."""
        self._each(request, goals, verbs.cancel, "cancelled")

    @admin.action(description="Hand in again (of what has ended)", permissions=["act"])
    def resubmit(self, request: HttpRequest, goals: QuerySet[Goal]) -> None:
        """A new goal like it."""
        self._each(request, goals, verbs.resubmit, "handed in again")

    def _each(self, request: HttpRequest, goals: QuerySet[Goal], verb: Callable[..., object], done: str) -> None:
        for pk in goals.values_list("pk", flat=True):
            goal = get_object_or_404(Goal.objects.select_related("repo"), pk=pk)
            try:
                verb(goal, by=request.user.get_username())
            except Refused as refused:
                self.message_user(request, f"{goal}: {refused.message}", messages.WARNING)
            else:
                self.message_user(request, f"{goal}: {done}.", messages.SUCCESS)


@admin.register(Plan)
class PlanAdmin(Shown[Plan]):
    """How goals were divided, and what that was expected to cost."""

    list_display = ["goal", "model", "made_at"]
    search_fields = ["=goal__id"]
    show_full_result_count = False


@admin.register(Slice)
class SliceAdmin(Shown[Slice]):
    """Every part of every plan."""

    list_display = ["goal_id", "number", "title", "round", "task", "tries", "merged_at"]
    list_select_related = ["task"]
    search_fields = ["=goal__id", "title"]
    show_full_result_count = False


@admin.register(Merge)
class MergeAdmin(Shown[Merge]):
    """Every attempt to bring work into a goal's branch."""

    list_display = ["id", "goal_id", "slice", "status", "task", "note", "at", "ended_at"]
    list_filter = ["status"]
    list_select_related = ["slice", "task"]
    search_fields = ["=goal__id"]
    show_full_result_count = False
