"""What may be asked of pull requests, checked for form; and how they, their difference and their evidence are shown."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.agents.fields import Strict
from apps.forge.lifecycle import PULL, VERIFICATION
from apps.forge.models import Comment, PullRequest

Plain = serializers.Serializer[Any]


class ReasonSerializer(Plain):
    code = serializers.CharField()
    sentence = serializers.CharField()


class FindingSerializer(ReasonSerializer):
    path = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)


class StatsSerializer(Plain):
    files = serializers.IntegerField()
    added = serializers.IntegerField()
    deleted = serializers.IntegerField()
    new_files = serializers.IntegerField()
    blocked = serializers.BooleanField()


class PullSerializer(serializers.ModelSerializer[PullRequest]):
    """A pull request as lists show it. `risk`: 1 low, 2 medium, 3 high. `verification`: of the newest, null if none."""

    repo = serializers.CharField(source="repo.slug")
    task = serializers.IntegerField(source="task_id")
    agent = serializers.CharField(source="attempt.agent.name")
    stats = StatsSerializer()
    verification = serializers.SerializerMethodField()

    class Meta:
        model = PullRequest
        fields = [
            "id", "repo", "task", "agent", "title", "status", "branch", "base_branch", "base", "head", "tree", "stats",
            "risk", "verification", "merged_commit", "opened_at", "updated_at", "ended_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_verification(self, pull: PullRequest) -> str | None:
        newest = next(iter(pull.verifications.all()), None)
        return newest.status if newest else None


class WholePull(PullSerializer):
    """One pull request. `mergeable` is false with the reason in `obstacle`."""

    risk_reasons = ReasonSerializer(many=True)
    findings = FindingSerializer(many=True)
    conflict = serializers.ListField(child=serializers.CharField())
    ended_by = serializers.CharField(source="ended_by.username", allow_null=True, default=None)
    mergeable = serializers.BooleanField()
    obstacle = serializers.CharField(allow_blank=True)

    class Meta(PullSerializer.Meta):
        fields = [
            *PullSerializer.Meta.fields, "risk_reasons", "findings", "conflict", "merge_note", "ended_by", "mergeable",
            "obstacle",
        ]  # fmt: skip
        read_only_fields = fields


class PullFilters(Strict):
    """How a list of pull requests is narrowed."""

    status = serializers.ChoiceField(choices=PULL.choices, required=False)
    repo = serializers.CharField(max_length=64, required=False, help_text="A repository's slug.")
    cursor = serializers.CharField(max_length=500, required=False)
    page_size = serializers.CharField(max_length=20, required=False)


class CommentSerializer(serializers.ModelSerializer[Comment]):
    """What was said, by whom, of which head."""

    author = serializers.CharField(source="author_name")
    task = serializers.IntegerField(source="task_id", allow_null=True, help_text="The follow-up it became.")

    class Meta:
        model = Comment
        fields = ["id", "author", "body", "path", "verdict", "head", "task", "at"]
        read_only_fields = fields


class Saying(Strict):
    """A comment; `path` is the file that it is about."""

    body = serializers.CharField(max_length=10_000, trim_whitespace=False)
    path = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class MaybeSaying(Strict):
    body = serializers.CharField(max_length=10_000, required=False, allow_blank=True, default="", trim_whitespace=False)


class MergeRequest(Strict):
    method = serializers.ChoiceField(choices=["merge", "squash"], required=False, default="merge")


class LineSerializer(Plain):
    kind = serializers.ChoiceField(choices=["add", "del", "context", "note"])
    text = serializers.CharField(source="shown", trim_whitespace=False)
    old = serializers.IntegerField(allow_null=True)
    new = serializers.IntegerField(allow_null=True)


class HunkSerializer(Plain):
    heading = serializers.CharField()
    lines = LineSerializer(many=True)


class FileSerializer(Plain):
    """One changed file. `status`: A added, M changed, D deleted, R renamed, T became another kind of thing."""

    path = serializers.CharField(source="change.shown")
    status = serializers.CharField(source="change.status")
    added = serializers.IntegerField(source="change.added")
    deleted = serializers.IntegerField(source="change.deleted")
    binary = serializers.BooleanField(source="change.binary")
    truncated = serializers.BooleanField()
    hunks = HunkSerializer(many=True)


class DiffSerializer(Plain):
    """The difference, file by file. `truncated`: something is too large to be shown whole."""

    base = serializers.CharField(source="facts.base")
    head = serializers.CharField(source="facts.head")
    added = serializers.IntegerField(source="facts.added")
    deleted = serializers.IntegerField(source="facts.deleted")
    truncated = serializers.BooleanField()
    files = FileSerializer(many=True)


class CheckEvidenceSerializer(Plain):
    name = serializers.CharField()
    command = serializers.CharField()
    first = serializers.CharField(help_text="How it ended when it first ran; empty if it never did.")
    last = serializers.CharField(help_text="How it ended on the work as pushed.")
    verified = serializers.CharField(help_text="How it ended on the clean checkout.")
    duration_ms = serializers.IntegerField()


class AttemptEvidenceSerializer(Plain):
    id = serializers.IntegerField()
    task = serializers.IntegerField()
    agent = serializers.CharField()
    outcome = serializers.CharField()
    error = serializers.CharField()
    duration_ms = serializers.IntegerField()


class VerificationEvidenceSerializer(Plain):
    """Who repeated the checks, on what. `independent`: by another agent than the author."""

    status = serializers.CharField(help_text=f"One of {', '.join(VERIFICATION.values)}.")
    verifier = serializers.CharField()
    independent = serializers.BooleanField()
    stale = serializers.BooleanField()
    sandbox = serializers.CharField()
    commit = serializers.CharField()
    tree = serializers.CharField()
    base = serializers.CharField()
    task = serializers.IntegerField(allow_null=True)
    note = serializers.CharField()


class PartEvidenceSerializer(Plain):
    task = serializers.IntegerField()
    title = serializers.CharField()
    agent = serializers.CharField()
    model = serializers.CharField()
    attempts = serializers.IntegerField()
    passed = serializers.IntegerField()
    checks = serializers.IntegerField()
    cost_microusd = serializers.IntegerField()
    commit = serializers.CharField()


class JudgedCriterionSerializer(Plain):
    criterion = serializers.CharField()
    met = serializers.BooleanField()
    where = serializers.CharField(help_text="The changed file, or the check, that shows it.")


class JudgementEvidenceSerializer(Plain):
    """What the hub's judge found of a goal; empty of anything else."""

    reason = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    criteria = JudgedCriterionSerializer(many=True, required=False)


class EvidenceSerializer(Plain):
    """Why it can be believed. Cost in micro-USD, durations in milliseconds; `markdown` is the block for a forge."""

    pull = serializers.IntegerField()
    title = serializers.CharField()
    task = serializers.IntegerField()
    goal = serializers.CharField()
    success_criteria = serializers.ListField(child=serializers.CharField())
    agent = serializers.CharField()
    executor = serializers.CharField()
    model = serializers.CharField()
    tokens = serializers.DictField(child=serializers.IntegerField())
    cost_microusd = serializers.IntegerField()
    attempts = AttemptEvidenceSerializer(many=True)
    parts = PartEvidenceSerializer(many=True)
    judgement = JudgementEvidenceSerializer()
    checks = CheckEvidenceSerializer(many=True)
    verification = VerificationEvidenceSerializer(allow_null=True)
    summary = serializers.CharField()
    sandbox = serializers.CharField()
    risk = serializers.IntegerField()
    risk_reasons = ReasonSerializer(many=True)
    files = serializers.IntegerField()
    added = serializers.IntegerField()
    deleted = serializers.IntegerField()
    base_branch = serializers.CharField()
    base = serializers.CharField()
    head = serializers.CharField()
    tree = serializers.CharField()
    log_digest = serializers.CharField()
    reproduce = serializers.CharField()
    mergeable = serializers.BooleanField()
    obstacle = serializers.CharField()
    markdown = serializers.SerializerMethodField()

    def get_markdown(self, it: Any) -> str:
        from apps.forge.evidence_text import markdown

        return markdown(it)
