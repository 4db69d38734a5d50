"""What may be asked of the queue, checked for form; and how tasks, attempts and events are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.agents.fields import Strict
from apps.agents.models import Agent
from apps.events.models import Event
from apps.repos.checks import TYPES as CHECKS
from apps.repos.models import Repo
from apps.tasks.actions import Submission
from apps.tasks.complexity import Tier
from apps.tasks.lifecycle import ATTEMPT, TASK
from apps.tasks.models import Lane, ProgressBatch, Task, Work

LANES = {lane.label.lower(): lane for lane in Lane}
TIERS = [tier.value for tier in Tier]
GIVEN_TIERS = [tier for tier in TIERS if tier != Tier.UNKNOWN]
WORD = r"\A[A-Za-z0-9][A-Za-z0-9._:+/-]*\Z"
LARGEST_ID = 2**63 - 1
LONGEST_RUN = 7 * 24 * 3600
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
METADATA_BYTES = 10_000
METADATA_DEPTH = 6
RESERVED_METADATA = frozenset({"pull_request", "verification", "checkup", "own"})
"""Set by the forge on the tasks it submits itself."""


class CheckSerializer(Strict):
    """One mechanical proof that the work is done; `target` is a path, a command, a pattern, or "auto"."""

    type = serializers.ChoiceField(choices=CHECKS)
    target = serializers.CharField(max_length=2_000, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    timeout_seconds = serializers.FloatField(min_value=0.1, max_value=LONGEST_RUN, required=False, default=120.0)


class FileHintSerializer(Strict):
    path = serializers.CharField(max_length=500)
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


@extend_schema_field(OpenApiTypes.OBJECT)
class Metadata(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """A small JSON object that the hub keeps and shows, and does not read."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("This must be an object.")
        if taken := RESERVED_METADATA & data.keys():
            raise serializers.ValidationError(f"The hub itself sets {', '.join(sorted(taken))}.")
        try:
            size = len(json.dumps(data, allow_nan=False))
        except ValueError as error:
            raise serializers.ValidationError("Numbers must be finite.") from error
        if size > METADATA_BYTES or _depth(data) > METADATA_DEPTH:
            raise serializers.ValidationError(f"At most {METADATA_BYTES} bytes of JSON, {METADATA_DEPTH} levels deep.")
        return data

    def to_representation(self, value: dict[str, Any]) -> Any:
        return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


class SubmissionSerializer(Strict):
    """A task to be done. Only the title is required."""

    title = serializers.CharField(max_length=200)
    description = serializers.CharField(
        max_length=10_000, required=False, allow_blank=True, default="", trim_whitespace=False
    )
    command = serializers.CharField(
        max_length=10_000,
        required=False,
        allow_blank=True,
        default="",
        trim_whitespace=False,
        help_text="Run by the shell, in the sandbox; without one the task needs a model.",
    )
    priority = serializers.ChoiceField(choices=list(LANES), required=False, default="normal")
    repo = serializers.CharField(max_length=64, required=False, allow_blank=True, default="", help_text="Its slug.")
    capabilities = serializers.ListField(
        child=serializers.RegexField(WORD, max_length=64), required=False, default=list, max_length=50
    )
    target_agent = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="Only this agent may do it."
    )
    complexity_tier = serializers.ChoiceField(
        choices=GIVEN_TIERS, required=False, allow_blank=True, default="", help_text="Guessed from the text when empty."
    )
    verification_steps = serializers.ListField(child=CheckSerializer(), required=False, default=list, max_length=50)
    success_criteria = serializers.ListField(
        child=serializers.CharField(max_length=1_000), required=False, default=list, max_length=50
    )
    file_hints = serializers.ListField(child=FileHintSerializer(), required=False, default=list, max_length=100)
    metadata = Metadata(required=False, default=dict)
    depends_on = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID), required=False, default=list, max_length=100
    )
    max_attempts = serializers.IntegerField(min_value=1, max_value=20, required=False, default=3)
    max_verification_retries = serializers.IntegerField(
        min_value=0,
        max_value=5,
        required=False,
        allow_null=True,
        default=None,
        help_text="Left out: none for a command, a few for a model, as the hub is set.",
    )
    timeout_seconds = serializers.FloatField(
        min_value=1,
        max_value=LONGEST_RUN,
        required=False,
        allow_null=True,
        default=None,
        help_text="Left out: 600 for a command, 1800 for a model.",
    )
    complete_by = serializers.DateTimeField(required=False, allow_null=True, default=None)
    idempotency_key = serializers.CharField(
        max_length=200, required=False, allow_blank=True, default="", help_text="Or the header Idempotency-Key."
    )

    def validate_complete_by(self, value: datetime | None) -> datetime | None:
        if value is not None and not timezone.now() < value < LATEST:
            raise serializers.ValidationError("This must be in the future, and before the year 2200.")
        return value

    def validate_repo(self, slug: str) -> Repo | None:
        if not slug:
            return None
        if (found := Repo.objects.filter(slug=slug).first()) is None:
            raise serializers.ValidationError("There is no such repository.")
        return found

    def validate_target_agent(self, name: str) -> Agent | None:
        if not name:
            return None
        if (found := Agent.objects.filter(name=name, retired_at__isnull=True).first()) is None:
            raise serializers.ValidationError("There is no such agent.")
        return found


def submission(asked: dict[str, Any], header_key: str) -> Submission:
    """What `SubmissionSerializer` read, for `submit`; the Idempotency-Key header wins over the field."""
    return Submission(
        title=asked["title"],
        description=asked["description"],
        command=asked["command"],
        lane=LANES[asked["priority"]],
        repo=asked["repo"] or None,
        capabilities=asked["capabilities"],
        target=asked["target_agent"] or None,
        tier=asked["complexity_tier"],
        checks=asked["verification_steps"],
        success_criteria=asked["success_criteria"],
        file_hints=asked["file_hints"],
        metadata=asked["metadata"],
        depends_on=asked["depends_on"],
        max_attempts=asked["max_attempts"],
        max_fixes=asked["max_verification_retries"],
        timeout_seconds=asked["timeout_seconds"],
        complete_by=asked["complete_by"],
        idempotency_key=header_key or asked["idempotency_key"] or None,
    )


class TaskSerializer(serializers.Serializer[Any]):
    """A task as lists show it."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=TASK.choices)
    work = serializers.ChoiceField(choices=Work.choices)
    priority = serializers.SerializerMethodField()
    repo = serializers.CharField(source="repo.slug", default=None, allow_null=True)
    target_agent = serializers.CharField(source="target.name", default=None, allow_null=True)
    executor = serializers.CharField()
    complexity_tier = serializers.ChoiceField(choices=TIERS, source="tier")
    branch = serializers.CharField()
    failures = serializers.IntegerField()
    reclaims = serializers.IntegerField()
    generation = serializers.IntegerField()
    stranded = serializers.BooleanField(help_text="A prerequisite was buried or cancelled; a person has to decide.")
    last_error = serializers.CharField()
    submitted_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    queued_at = serializers.DateTimeField(allow_null=True)
    complete_by = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field({"type": "string", "enum": list(LANES)})
    def get_priority(self, task: Task) -> str:
        return Lane(task.lane).label.lower()


TASK_SHOWN = TaskSerializer()
"""Shows one task after the other; made once, since making it costs more than using it."""


class AttemptSerializer(serializers.Serializer[Any]):
    """One try of one agent."""

    id = serializers.IntegerField()
    agent = serializers.CharField(source="agent.name")
    generation = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=ATTEMPT.choices)
    assigned_at = serializers.DateTimeField()
    accepted_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    lease_until = serializers.DateTimeField()
    branch = serializers.CharField()
    executor = serializers.CharField()
    model = serializers.CharField()
    grade = serializers.CharField()
    decision = serializers.DictField(help_text="Why this agent, and why not the others.")
    result = serializers.DictField()
    reports = serializers.ListField(child=serializers.DictField())
    error_code = serializers.CharField()
    error = serializers.CharField()
    blocked_reason = serializers.CharField()
    salvage_ref = serializers.CharField()
    salvage_commit = serializers.CharField()


class PrerequisiteSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=TASK.choices)


class WholeTask(TaskSerializer):
    """A task with everything that is known of it."""

    description = serializers.CharField()
    command = serializers.CharField()
    capabilities = serializers.ListField(child=serializers.CharField())
    complexity = serializers.DictField()
    verification_steps = serializers.ListField(child=serializers.DictField(), source="checks")
    success_criteria = serializers.ListField(child=serializers.CharField())
    file_hints = serializers.ListField(child=serializers.DictField())
    remarks = serializers.ListField(child=serializers.DictField())
    metadata = serializers.DictField()
    max_attempts = serializers.IntegerField()
    max_verification_retries = serializers.IntegerField(source="max_fixes")
    timeout_seconds = serializers.FloatField()
    not_before = serializers.DateTimeField(allow_null=True)
    waits = serializers.CharField(allow_blank=True, help_text="Why nobody works on it, in a sentence.")
    prerequisites = PrerequisiteSerializer(many=True, source="before")
    attempts = AttemptSerializer(many=True, source="tries")


class EventSerializer(serializers.ModelSerializer[Event]):
    """Something that happened."""

    meaning = serializers.CharField()

    class Meta:
        model = Event
        fields = ["id", "kind", "meaning", "actor", "data", "at"]
        read_only_fields = fields


class BatchSerializer(serializers.ModelSerializer[ProgressBatch]):
    """Live steps, as they came in together."""

    steps = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = ProgressBatch
        fields = ["seq", "steps", "at"]
        read_only_fields = fields


class Progress(serializers.Serializer[Any]):
    attempt = serializers.IntegerField(allow_null=True)
    batches = BatchSerializer(many=True)


class TrajectorySerializer(serializers.Serializer[Any]):
    attempt = serializers.IntegerField(allow_null=True)
    model = serializers.CharField()
    steps = serializers.ListField(
        child=serializers.DictField(), help_text="As in the wire's AgentStep; see GET /api/schemas."
    )


class Filters(Strict):
    """How a list of tasks is narrowed."""

    status = serializers.ChoiceField(choices=TASK.choices, required=False)
    lane = serializers.ChoiceField(choices=list(LANES), required=False)
    repo = serializers.CharField(max_length=64, required=False, help_text="A repository's slug.")
    agent = serializers.CharField(max_length=40, required=False, help_text="An agent that tried it.")
    work = serializers.ChoiceField(choices=Work.choices, required=False)
    q = serializers.CharField(max_length=100, required=False, help_text="Part of the title.")
    cursor = serializers.CharField(max_length=500, required=False)
    page_size = serializers.CharField(max_length=20, required=False)
