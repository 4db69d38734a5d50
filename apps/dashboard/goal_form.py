"""What an operator may type about a goal: the form for a new one, for a changed one, and the filters of the list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet

from apps.goals import lifecycle
from apps.goals.actions import Wanted
from apps.goals.models import Goal, Source
from apps.repos.models import Repo
from apps.tasks.models import Lane

LANES = [(lane.value, lane.label.lower()) for lane in Lane]
CHECK_SECONDS = 120.0


class Lines(forms.CharField):
    """One thing to a line; empty lines are nothing."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        rows = kwargs.pop("rows", 3)
        super().__init__(required=False, max_length=20_000, widget=forms.Textarea(attrs={"rows": rows}), **kwargs)

    def clean(self, value: Any) -> list[str]:
        """The lines."""
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class Tags(forms.CharField):
    """Words with commas between them."""

    def clean(self, value: Any) -> list[str]:
        """The words."""
        return [tag.strip() for tag in super().clean(value).split(",") if tag.strip()]


class Numbers(forms.CharField):
    """Numbers of goals, as people write them: `3, #4`."""

    def clean(self, value: Any) -> list[int]:
        """The numbers."""
        words = super().clean(value).replace(",", " ").replace("#", " ").split()
        if not all(word.isascii() and word.isdigit() and len(word) <= 18 for word in words):
            raise forms.ValidationError("These are numbers of goals, such as 3, 4.")
        return [int(word) for word in words]


class PriorityForm(forms.Form):
    """What may change as long as a goal has not ended."""

    lane = forms.TypedChoiceField(choices=LANES, coerce=int, initial=Lane.NORMAL, label="Priority")
    tags = Tags(
        required=False,
        max_length=1_500,
        widget=forms.TextInput(attrs={"placeholder": "words, with, commas", "autocomplete": "off"}),
    )


class GoalChangeForm(PriorityForm):
    """What may change as long as the hub has not begun with it."""

    title = forms.CharField(
        max_length=200,
        label="What do you want?",
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off"}),
    )
    description = forms.CharField(
        max_length=10_000,
        required=False,
        strip=False,
        label="Say more",
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Why it is wanted, what must stay as it is, where to look.",
    )
    success_criteria = Lines(
        label="Done when", rows=4, help_text="One to a line. The hub judges each by what was really changed and run."
    )
    depends_on = Numbers(
        required=False,
        max_length=500,
        label="After goals",
        widget=forms.TextInput(attrs={"placeholder": "3, 4", "autocomplete": "off", "inputmode": "numeric"}),
        help_text="It begins when the work of these is merged.",
    )

    def clean_description(self) -> str:
        """With the ends of lines that everybody else writes."""
        return str(self.cleaned_data["description"]).replace("\r\n", "\n").strip()


class GoalForm(GoalChangeForm):
    """A new goal as a person describes it."""

    repo = forms.ModelChoiceField(Repo.objects.all(), to_field_name="slug", empty_label=None, label="Repository")
    approval = forms.ChoiceField(
        choices=[("", "as the repository says"), ("yes", "needed"), ("no", "not needed")],
        required=False,
        label="Plan approval",
    )

    def wanted(self, checks: Iterable[Mapping[str, Any]]) -> Wanted:
        """What `apps.goals.actions.submit` takes."""
        data = self.cleaned_data
        return Wanted(
            title=data["title"],
            description=data["description"],
            repo=data["repo"],
            success_criteria=data["success_criteria"],
            checks=typed_checks(checks),
            tags=data["tags"],
            lane=data["lane"],
            source=Source.PAGE,
            depends_on=data["depends_on"],
            needs_approval={"yes": True, "no": False}.get(data["approval"]),
        )


def typed_checks(checks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those that were filled in."""
    return [
        {"type": check["type"], "target": check["target"], "description": "", "timeout_seconds": CHECK_SECONDS}
        for check in checks
        if check.get("type")
    ]


class GoalFilter(forms.Form):
    """How the list of goals is narrowed."""

    q = forms.CharField(
        max_length=100,
        required=False,
        label="Search",
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "title"}),
    )
    status = forms.ChoiceField(choices=[("", "any status"), *lifecycle.GOAL.choices], required=False)
    repo = forms.ModelChoiceField(
        Repo.objects.all(), required=False, to_field_name="slug", empty_label="any repository", label="Repository"
    )
    source = forms.ChoiceField(choices=[("", "from anybody"), *Source.choices], required=False)

    def narrow(self, rows: QuerySet[Goal]) -> QuerySet[Goal]:
        """The rows that are wanted; call once it is valid."""
        data = self.cleaned_data
        fields = {"status": data["status"], "repo": data["repo"], "source": data["source"]}
        rows = rows.filter(**{name: value for name, value in fields.items() if value})
        return rows.filter(title__icontains=data["q"]) if data["q"] else rows
