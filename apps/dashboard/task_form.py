"""What an operator may type: the form for a new task, its checks, and the filters of the list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.db.models import Q

from apps.agents.models import Agent
from apps.repos.models import Repo
from apps.tasks import lifecycle
from apps.tasks.actions import Submission
from apps.tasks.models import Lane, TaskQuerySet, Work

CHECK_TYPES = {
    "command_succeeds": "command succeeds",
    "tests_pass": "tests pass",
    "file_exists": "file exists",
    "git_clean": "nothing uncommitted is left",
    "diff_contains": "the change contains",
    "no_secrets": "no secrets",
}
NEED_A_TARGET = {
    "command_succeeds": "Which command?",
    "file_exists": "Which file?",
    "diff_contains": "Which text?",
}


class CheckForm(forms.Form):
    """One check; left alone, it is none."""

    type = forms.ChoiceField(choices=[("", "—"), *CHECK_TYPES.items()], required=False)
    target = forms.CharField(
        max_length=2_000,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "command, path or text", "autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        """A kind that is about something needs to say what."""
        data = super().clean() or {}
        kind, target = data.get("type", ""), data.get("target", "")
        if target and not kind:
            self.add_error("type", "Choose a kind of check.")
        if kind in NEED_A_TARGET and not target:
            self.add_error("target", NEED_A_TARGET[kind])
        return data


CHECKS = forms.formset_factory(CheckForm, extra=6, max_num=20, absolute_max=20, validate_max=True)


class TaskForm(forms.Form):
    """A new task as a person describes it."""

    title = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}))
    description = forms.CharField(
        max_length=10_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="What is wanted, and why. It becomes the body of the pull request.",
    )
    command = forms.CharField(
        max_length=10_000,
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono"}),
        help_text="Run by a shell in a checkout, inside the sandbox. Without one the task needs an agent with a model.",
    )
    repo = forms.ModelChoiceField(
        Repo.objects.all(), required=False, to_field_name="slug", empty_label="none", label="Repository"
    )
    lane = forms.TypedChoiceField(
        choices=[(lane.value, lane.label.lower()) for lane in Lane], coerce=int, initial=Lane.NORMAL
    )
    target = forms.ModelChoiceField(
        Agent.objects.filter(retired_at__isnull=True),
        required=False,
        to_field_name="name",
        empty_label="any that fits",
        label="Agent",
    )
    max_attempts = forms.IntegerField(min_value=1, max_value=20, initial=3, label="Attempts")
    max_fixes = forms.IntegerField(
        min_value=0,
        max_value=5,
        required=False,
        label="Repairs",
        help_text="Runs after a failed check, in each attempt. Empty: none for a command, a few for a model.",
    )
    timeout_seconds = forms.IntegerField(
        min_value=1,
        max_value=86_400,
        required=False,
        label="Time limit (s)",
        help_text="Empty: 600 for a command, 1800 for a model.",
    )

    def submission(self, checks: Iterable[Mapping[str, Any]]) -> Submission:
        """What `apps.tasks.actions.submit` takes."""
        data = self.cleaned_data
        return Submission(
            title=data["title"],
            description=data["description"],
            command=data["command"].replace("\r\n", "\n").strip("\n"),
            repo=data["repo"],
            lane=data["lane"],
            target=data["target"],
            checks=[
                {"type": check["type"], "target": check["target"], "description": "", "timeout_seconds": 120.0}
                for check in checks
                if check.get("type")
            ],
            max_attempts=data["max_attempts"],
            max_fixes=data["max_fixes"],
            timeout_seconds=data["timeout_seconds"],
        )


class TaskFilter(forms.Form):
    """How the list of tasks is narrowed."""

    q = forms.CharField(
        max_length=100,
        required=False,
        label="Search",
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "title or number"}),
    )
    status = forms.ChoiceField(choices=[("", "any status"), *lifecycle.TASK.choices], required=False)
    lane = forms.TypedChoiceField(
        choices=[("", "any lane"), *((lane.value, lane.label.lower()) for lane in Lane)],
        coerce=int,
        empty_value=None,
        required=False,
    )
    repo = forms.ModelChoiceField(
        Repo.objects.all(), required=False, to_field_name="slug", empty_label="any repository", label="Repository"
    )
    work = forms.ChoiceField(
        choices=[("", "changes"), (Work.VERIFICATION.value, "verifications"), ("all", "both")], required=False
    )

    def narrow(self, rows: TaskQuerySet) -> TaskQuerySet:
        """The rows that are wanted; call once it is valid."""
        data = self.cleaned_data
        if data["work"] != "all":
            rows = rows.filter(work=data["work"] or Work.CHANGE)
        if data["status"]:
            rows = rows.filter(status=data["status"])
        if data["lane"] is not None:
            rows = rows.filter(lane=data["lane"])
        if data["repo"]:
            rows = rows.filter(repo=data["repo"])
        if text := data["q"].lstrip("#"):
            number = Q(pk=int(text)) if text.isascii() and text.isdigit() and len(text) <= 18 else Q()
            rows = rows.filter(Q(title__icontains=text) | number)
        return rows
