"""PullRequest, Verification, Comment: what waits for a person, what proves it, and what was said about it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.forge import lifecycle
from apps.repos.models import Repo
from apps.tasks.models import Attempt, Task


class PullRequest(models.Model):
    """Work on a branch that asks to be merged. `base`, `head` and `tree` are commits and a tree in the mirror."""

    LIFECYCLE: ClassVar = lifecycle.PULL

    repo = models.ForeignKey(Repo, on_delete=models.PROTECT, related_name="pulls")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="pulls")
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="pulls")
    goal = models.PositiveBigIntegerField(null=True, blank=True, help_text="The number of the goal that it ends.")
    parts = models.JSONField(default=list, blank=True, help_text="Of a goal: each slice as it was merged and checked.")
    judgement = models.JSONField(default=dict, blank=True, help_text="Of a goal: what the hub's judge found.")
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    success_criteria = models.JSONField(default=list, blank=True)
    checks = models.JSONField(default=list, blank=True, help_text="What is repeated on what would be merged.")
    file_hints = models.JSONField(default=list, blank=True)
    tier = models.CharField(max_length=10, default="unknown")
    branch = models.CharField(max_length=200)
    base_branch = models.CharField(max_length=200)
    base = models.CharField(max_length=64)
    head = models.CharField(max_length=64)
    tree = models.CharField(max_length=64)
    status = models.CharField(max_length=20, choices=lifecycle.PULL.choices, default=lifecycle.PullStatus.OPEN)
    stats = models.JSONField(default=dict, blank=True)
    risk = models.PositiveSmallIntegerField(default=3)
    risk_reasons = models.JSONField(default=list, blank=True)
    findings = models.JSONField(default=list, blank=True)
    conflict = models.JSONField(default=list, blank=True, help_text="Paths that do not merge with the base as it is.")
    merged_commit = models.CharField(max_length=64, blank=True, default="")
    merge_note = models.CharField(max_length=500, blank=True, default="")
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    opened_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["repo", "branch"], condition=Q(ended_at__isnull=True), name="one_open_pull_request_per_branch"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["merged", "closed"], ended_at__isnull=False)
                | (~Q(status__in=["merged", "closed"]) & Q(ended_at__isnull=True)),
                name="pull_ended_at_exactly_when_final",
            ),
            models.CheckConstraint(condition=Q(risk__gte=1, risk__lte=3), name="pull_risk_is_1_to_3"),
        ]

    def __str__(self) -> str:
        return f"!{self.pk} {self.title}"

    @property
    def group(self) -> str:
        return f"pull.{self.pk}"

    @property
    def is_final(self) -> bool:
        return lifecycle.PULL.is_final(self.status)


class Verification(models.Model):
    """One repetition of the checks by somebody other than the author, bound to base, head and tree.

    `commit` is what was checked out: the merge of `head` into `base`, which is `head` itself while the base stands
    still.
    """

    LIFECYCLE: ClassVar = lifecycle.VERIFICATION

    pull = models.ForeignKey(PullRequest, on_delete=models.CASCADE, related_name="verifications")
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.PROTECT, related_name="verifications")
    base = models.CharField(max_length=64)
    head = models.CharField(max_length=64)
    tree = models.CharField(max_length=64)
    commit = models.CharField(max_length=64)
    status = models.CharField(
        max_length=10, choices=lifecycle.VERIFICATION.choices, default=lifecycle.VerificationStatus.PENDING
    )
    author = models.ForeignKey(Agent, null=True, on_delete=models.SET_NULL, related_name="+")
    verifier = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    report = models.JSONField(default=dict, blank=True)
    note = models.CharField(max_length=500, blank=True, default="")
    requested_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["pull"], condition=Q(status="pending"), name="one_pending_verification_per_pull_request"
            ),
        ]

    def __str__(self) -> str:
        return f"verification {self.pk} of !{self.pull_id}"


class Comment(models.Model):
    """What a person said about a pull request, and what they decided with it."""

    class Verdict(models.TextChoices):
        COMMENT = "comment"
        APPROVED = "approved"
        CHANGES_REQUESTED = "changes_requested"

    pull = models.ForeignKey(PullRequest, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    author_name = models.CharField(max_length=150)
    body = models.TextField(max_length=10_000, blank=True, default="")
    path = models.CharField(max_length=500, blank=True, default="")
    verdict = models.CharField(max_length=20, choices=Verdict.choices, default=Verdict.COMMENT)
    head = models.CharField(max_length=64)
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar[list[str]] = ["id"]

    def __str__(self) -> str:
        return f"{self.author_name}: {self.verdict}"
