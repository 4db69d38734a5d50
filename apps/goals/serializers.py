"""What may be asked of the backlog, checked for form; and how goals, their plans and what they cost are shown."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.agents.fields import Strict
from apps.goals.actions import Wanted
from apps.goals.course import State
from apps.goals.lifecycle import GOAL, MERGE
from apps.goals.models import Goal, Source
from apps.goals.reading import Step
from apps.repos.models import Repo
from apps.tasks.lifecycle import TASK
from apps.tasks.models import Lane
from apps.tasks.serializers import LANES, LARGEST_ID, CheckSerializer, FileHintSerializer

MOST_WORDS = 20
GIVEN_SOURCES = [Source.API.value, Source.CLI.value]


class _Asked(Strict):
    """What a goal says, whether it is new or changed."""

    title = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=10_000, allow_blank=True, trim_whitespace=False)
    success_criteria = serializers.ListField(child=serializers.CharField(max_length=1_000), max_length=MOST_WORDS)
    verification_steps = serializers.ListField(
        child=CheckSerializer(), max_length=50, help_text="What has to pass after every slice, such as the tests."
    )
    tags = serializers.ListField(child=serializers.CharField(max_length=64), max_length=MOST_WORDS)
    priority = serializers.ChoiceField(choices=list(LANES))
    depends_on = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID),
        max_length=100,
        help_text="Goals of the same repository whose work has to be merged first.",
    )


class GoalSubmission(_Asked):
    """A goal in words. Title and repository are required."""

    repo = serializers.CharField(max_length=64, help_text="Its slug.")
    description = serializers.CharField(
        max_length=10_000, required=False, allow_blank=True, default="", trim_whitespace=False
    )
    success_criteria = serializers.ListField(
        child=serializers.CharField(max_length=1_000), required=False, default=list, max_length=MOST_WORDS
    )
    verification_steps = serializers.ListField(
        child=CheckSerializer(),
        required=False,
        default=list,
        max_length=50,
        help_text="What has to pass after every slice, such as the tests; the repository's own when left out.",
    )
    file_hints = serializers.ListField(child=FileHintSerializer(), required=False, default=list, max_length=50)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, default=list, max_length=MOST_WORDS
    )
    priority = serializers.ChoiceField(choices=list(LANES), required=False, default="normal")
    depends_on = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID),
        required=False,
        default=list,
        max_length=100,
        help_text="Goals of the same repository whose work has to be merged first.",
    )
    needs_approval = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Left out: as the repository says."
    )
    source = serializers.ChoiceField(choices=GIVEN_SOURCES, required=False, default="api")  # type: ignore[assignment]  # declared fields leave the class
    idempotency_key = serializers.CharField(
        max_length=200, required=False, allow_blank=True, default="", help_text="Or the header Idempotency-Key."
    )

    def validate_repo(self, slug: str) -> Repo:
        if (found := Repo.objects.filter(slug=slug).first()) is None:
            raise serializers.ValidationError("There is no such repository.")
        return found


def wanted(asked: dict[str, Any], *, key: str, source: Source) -> Wanted:
    """What `GoalSubmission` read, for `submit`; the Idempotency-Key header wins over the field."""
    return Wanted(
        title=asked["title"],
        repo=asked["repo"],
        description=asked["description"],
        success_criteria=asked["success_criteria"],
        checks=asked["verification_steps"],
        file_hints=asked["file_hints"],
        tags=asked["tags"],
        lane=LANES[asked["priority"]],
        source=source,
        depends_on=asked["depends_on"],
        idempotency_key=key or asked["idempotency_key"] or None,
        needs_approval=asked["needs_approval"],
    )


class GoalChange(_Asked):
    """What is to be different. Priority and tags until it has ended, the rest until it has begun."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.required = False

    @staticmethod
    def changes(asked: dict[str, Any]) -> dict[str, Any]:
        """For `edit`."""
        renamed = {"verification_steps": "checks", "priority": "lane"}
        return {renamed.get(name, name): LANES[value] if name == "priority" else value for name, value in asked.items()}


class GoalFilters(Strict):
    """How a list of goals is narrowed."""

    status = serializers.ChoiceField(choices=GOAL.choices, required=False)
    repo = serializers.CharField(max_length=64, required=False, help_text="A repository's slug.")
    source = serializers.ChoiceField(choices=Source.choices, required=False)  # type: ignore[assignment]  # declared fields leave the class
    q = serializers.CharField(max_length=100, required=False, help_text="Part of the title.")
    cursor = serializers.CharField(max_length=500, required=False)
    page_size = serializers.CharField(max_length=20, required=False)


class GoalSerializer(serializers.Serializer[Any]):
    """A goal as lists show it."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=GOAL.choices)
    awaits_approval = serializers.BooleanField(help_text="There is a plan that a person has to approve.")
    priority = serializers.SerializerMethodField()
    repo = serializers.CharField(source="repo.slug")
    source = serializers.ChoiceField(choices=Source.choices)  # type: ignore[assignment]  # declared fields leave the class
    tags = serializers.ListField(child=serializers.CharField())
    rounds = serializers.IntegerField(help_text="How often something was still missing when it was judged.")
    reason = serializers.CharField(help_text="Why it ended, or waits for a person.")
    branch = serializers.CharField()
    pull = serializers.IntegerField(source="pull_id", allow_null=True)
    submitted_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    begun_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    landed_at = serializers.DateTimeField(allow_null=True, help_text="When a person merged its pull request.")

    @extend_schema_field({"type": "string", "enum": list(LANES)})
    def get_priority(self, goal: Goal) -> str:
        return Lane(goal.lane).label.lower()


class GoalBefore(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=GOAL.choices)
    landed_at = serializers.DateTimeField(allow_null=True)


class SpentSerializer(serializers.Serializer[Any]):
    """Calls of models; `micro` is in millionths of a dollar."""

    micro = serializers.IntegerField()
    calls = serializers.IntegerField()
    unpriced = serializers.IntegerField(help_text="Calls whose price nobody knows; they are not in `micro`.")
    tokens = serializers.IntegerField()


class CostSerializer(serializers.Serializer[Any]):
    work = SpentSerializer(help_text="What agents used.")
    thinking = SpentSerializer(help_text="What the hub used to plan and to judge.")


class WholeGoal(GoalSerializer):
    """A goal with everything that is known of it but its plan."""

    description = serializers.CharField()
    success_criteria = serializers.ListField(child=serializers.CharField())
    verification_steps = serializers.ListField(child=serializers.DictField(), source="checks")
    file_hints = serializers.ListField(child=serializers.DictField())
    waits = serializers.CharField(allow_blank=True, help_text="What keeps it from going on, in a sentence.")
    needs_approval = serializers.BooleanField()
    approved_at = serializers.DateTimeField(allow_null=True)
    approved_by = serializers.CharField()
    base = serializers.CharField()
    again_of = serializers.IntegerField(source="again_of_id", allow_null=True)
    judgement = serializers.DictField()
    prerequisites = GoalBefore(many=True, source="before")
    cost = CostSerializer()


class SpreadSerializer(serializers.Serializer[Any]):
    low = serializers.FloatField()
    middle = serializers.FloatField()
    high = serializers.FloatField()


class EstimateSerializer(serializers.Serializer[Any]):
    """Median with the 10th and 90th percentile, from so many finished slices."""

    micro = SpreadSerializer()
    seconds = SpreadSerializer()
    slices = serializers.IntegerField()


class MergeSerializer(serializers.Serializer[Any]):
    """One attempt to bring work into the goal's branch; without a slice, what is new on the default branch."""

    slice = serializers.IntegerField(source="slice.number", default=None, allow_null=True)
    status = serializers.ChoiceField(choices=MERGE.choices)
    head = serializers.CharField()
    onto = serializers.CharField()
    commit = serializers.CharField()
    task = serializers.IntegerField(source="task_id", allow_null=True)
    files = serializers.ListField(child=serializers.CharField(), help_text="Paths that did not merge.")
    note = serializers.CharField()
    report = serializers.DictField()
    at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class StepSerializer(serializers.Serializer[Any]):
    """A slice, and how it stands."""

    number = serializers.IntegerField(source="slice.number")
    round = serializers.IntegerField(source="slice.round")
    title = serializers.CharField(source="slice.title")
    description = serializers.CharField(source="slice.description")
    success_criteria = serializers.ListField(child=serializers.CharField(), source="slice.success_criteria")
    verification_steps = serializers.ListField(child=serializers.DictField(), source="slice.checks")
    file_hints = serializers.ListField(child=serializers.DictField(), source="slice.file_hints")
    tier = serializers.CharField(source="slice.tier")
    after = serializers.ListField(child=serializers.IntegerField(), source="slice.after")
    state = serializers.ChoiceField(choices=[state.value for state in State])
    why = serializers.CharField()
    task = serializers.IntegerField(source="slice.task_id", allow_null=True)
    task_status = serializers.SerializerMethodField()
    agent = serializers.CharField(source="attempt.agent.name", default=None, allow_null=True)
    attempts = serializers.IntegerField()
    tries = serializers.IntegerField(source="slice.tries", help_text="How often its work came back from a merge.")
    merged_commit = serializers.CharField(source="slice.merged_commit")
    merged_at = serializers.DateTimeField(source="slice.merged_at", allow_null=True)

    @extend_schema_field({"type": "string", "enum": [*TASK.values, None], "nullable": True})
    def get_task_status(self, step: Step) -> str | None:
        return step.task.status if step.task else None


class PlanSerializer(serializers.Serializer[Any]):
    """How a goal is divided; without slices as long as there is no plan."""

    goal = serializers.IntegerField()
    made_at = serializers.DateTimeField(allow_null=True)
    model = serializers.CharField(allow_blank=True)
    estimate = EstimateSerializer(allow_null=True, help_text="null: there is no history yet.")
    slices = StepSerializer(many=True)
    merges = MergeSerializer(many=True)
    pull = serializers.IntegerField(allow_null=True)
