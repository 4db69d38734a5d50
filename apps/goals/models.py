"""Goal, Dependency, Plan, Slice, Merge, Gate: why there is work, how it is divided, and how it comes together."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.forge.models import PullRequest
from apps.goals import lifecycle
from apps.repos.models import Repo
from apps.tasks.models import Attempt, Lane, Task


class Source(models.TextChoices):
    """Who handed a goal in: a person by one of the doors, or the hub itself in one of its states."""

    PAGE = "page"
    ADMIN = "admin"
    API = "api"
    CLI = "cli"
    XML = "xml"
    HEALING = "healing"
    IMPROVING = "improving"
    CONTEMPLATING = "contemplating"


OWN = (Source.HEALING, Source.IMPROVING, Source.CONTEMPLATING)
"""Goals that the hub made for itself."""


class GoalQuerySet(models.QuerySet["Goal"]):
    def active(self) -> GoalQuerySet:
        return self.filter(status__in=lifecycle.ACTIVE)

    def own(self) -> GoalQuerySet:
        return self.filter(source__in=OWN)

    def unfinished(self) -> GoalQuerySet:
        return self.filter(finished_at__isnull=True)

    def undecided(self) -> GoalQuerySet:
        """Unfinished, or complete with a pull request that nobody has decided about yet."""
        decided = Q(landed_at__isnull=False) | Q(rejected_at__isnull=False)
        return self.filter(Q(finished_at__isnull=True) | (Q(status=lifecycle.GoalStatus.COMPLETE) & ~decided))


class Goal(models.Model):
    """What somebody wants of one repository, in words. All that is known of its progress is in the database.

    `claim` is the fence of the call of a model that is being made for it: whoever claims raises it, and what an earlier
    claim brings back changes nothing.
    """

    LIFECYCLE: ClassVar = lifecycle.GOAL

    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", max_length=10_000)
    repo = models.ForeignKey(Repo, on_delete=models.PROTECT, related_name="goals")
    success_criteria = models.JSONField(default=list, blank=True)
    checks = models.JSONField(
        default=list, blank=True, help_text="What has to pass after every slice, such as the tests."
    )
    final_checks = models.JSONField(
        default=list, blank=True, help_text="What has to pass once all slices are merged, and not before."
    )
    file_hints = models.JSONField(default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)
    lane = models.PositiveSmallIntegerField(choices=Lane.choices, default=Lane.NORMAL)
    source = models.CharField(max_length=13, choices=Source.choices, default=Source.API)
    fingerprint = models.CharField(max_length=200, blank=True, default="")
    status = models.CharField(max_length=12, choices=lifecycle.GOAL.choices)
    hold = models.CharField(max_length=500, blank=True, default="", help_text="What keeps it from going on just now.")
    reason = models.CharField(max_length=1_000, blank=True, default="")

    needs_approval = models.BooleanField(default=False)
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.CharField(max_length=160, blank=True, default="")

    rounds = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True)
    claim = models.PositiveIntegerField(default=0)
    claim_until = models.DateTimeField(null=True, blank=True)

    branch = models.CharField(max_length=200, blank=True, default="")
    base = models.CharField(max_length=64, blank=True, default="")
    pull = models.ForeignKey(PullRequest, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    judgement = models.JSONField(default=dict, blank=True)
    again_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="again")

    idempotency_key = models.CharField(max_length=200, null=True, blank=True, unique=True)
    submitted_by = models.CharField(max_length=160, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    begun_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    landed_at = models.DateTimeField(null=True, blank=True)
    rejected_at = models.DateTimeField(null=True, blank=True)

    objects = GoalQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(status__in=lifecycle.GOAL.values), name="goal_status_is_known"),
            models.CheckConstraint(
                condition=Q(status__in=sorted(lifecycle.GOAL.final), finished_at__isnull=False)
                | (~Q(status__in=sorted(lifecycle.GOAL.final)) & Q(finished_at__isnull=True)),
                name="goal_finished_at_exactly_when_final",
            ),
            models.CheckConstraint(
                condition=~Q(status="complete") | Q(pull__isnull=False), name="a_complete_goal_has_a_pull_request"
            ),
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=Q(finished_at__isnull=True) & ~Q(fingerprint=""),
                name="one_open_goal_per_fingerprint",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["status", "lane", "id"], name="goal_backlog"),
            models.Index(fields=["lane", "id"], name="goal_unfinished", condition=Q(finished_at__isnull=True)),
            models.Index(fields=["source", "id"], name="goal_source"),
            models.Index(
                fields=["id"],
                name="goal_undecided",
                condition=Q(status="complete", landed_at__isnull=True, rejected_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"goal {self.pk} {self.title}"

    @property
    def group(self) -> str:
        """What pages that show this goal listen for."""
        return f"goal.{self.pk}"

    @property
    def is_final(self) -> bool:
        return lifecycle.GOAL.is_final(self.status)

    @property
    def is_own(self) -> bool:
        """Whether the hub made it for itself."""
        return self.source in OWN

    @property
    def is_lost(self) -> bool:
        """Whether it ended, or was turned down, without its work on the default branch: what waits for it is stuck."""
        ended = self.status in (lifecycle.GoalStatus.FAILED, lifecycle.GoalStatus.CANCELLED)
        return self.landed_at is None and (ended or self.rejected_at is not None)

    @property
    def awaits_approval(self) -> bool:
        """Whether there is a plan that a person has to approve first."""
        wanted = self.status == lifecycle.GoalStatus.DECOMPOSING and self.needs_approval and self.approved_at is None
        return wanted and hasattr(self, "plan")


class Dependency(models.Model):
    """`goal` begins when the work of `prerequisite` is on the default branch."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="prerequisites")
    prerequisite = models.ForeignKey(Goal, on_delete=models.PROTECT, related_name="dependants")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["goal", "prerequisite"], name="one_dependency_per_pair_of_goals"),
            models.CheckConstraint(condition=~Q(goal=models.F("prerequisite")), name="no_goal_depends_on_itself"),
        ]

    def __str__(self) -> str:
        return f"goal {self.goal_id} after goal {self.prerequisite_id}"


class Plan(models.Model):
    """How the hub means to reach a goal; `estimate` is what its history says of cost and time, empty without one."""

    goal = models.OneToOneField(Goal, primary_key=True, on_delete=models.CASCADE, related_name="plan")
    document = models.JSONField()
    model = models.CharField(max_length=240, blank=True, default="")
    estimate = models.JSONField(default=dict, blank=True)
    made_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"plan of goal {self.goal_id}"


class Slice(models.Model):
    """A part of a goal that one agent does in one go. `after` are the numbers of those that have to be merged before.

    `round` is 0 for the plan and 1 or 2 for what was still missing. Its task is submitted when its turn comes, and a
    new one when the work did not merge: `handed` counts them all, `tries` those whose work came back from a merge.
    `catches_up`: it makes room for what is new on the default branch.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="slices")
    number = models.PositiveSmallIntegerField()
    round = models.PositiveSmallIntegerField(default=0)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", max_length=10_000)
    success_criteria = models.JSONField(default=list, blank=True)
    checks = models.JSONField(default=list, blank=True)
    file_hints = models.JSONField(default=list, blank=True)
    tier = models.CharField(max_length=10, blank=True, default="")
    after = models.JSONField(default=list, blank=True)
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.PROTECT, related_name="slices")
    handed = models.PositiveSmallIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    catches_up = models.BooleanField(default=False)
    merged_commit = models.CharField(max_length=64, blank=True, default="")
    merged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["number"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["goal", "number"], name="one_slice_per_number"),
        ]

    def __str__(self) -> str:
        return f"slice {self.number} of goal {self.goal_id}"


class Merge(models.Model):
    """One attempt to bring a slice's work, or without one the default branch, into the goal's branch.

    `commit` is the merge of `head` into `onto`, and what the checks are repeated on. The branch moves to it only when
    they passed and it still is at `onto`.
    """

    LIFECYCLE: ClassVar = lifecycle.MERGE

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="merges")
    slice = models.ForeignKey(Slice, null=True, blank=True, on_delete=models.CASCADE, related_name="merges")
    attempt = models.ForeignKey(Attempt, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    head = models.CharField(max_length=64)
    onto = models.CharField(max_length=64)
    commit = models.CharField(max_length=64, blank=True, default="")
    tree = models.CharField(max_length=64, blank=True, default="")
    status = models.CharField(max_length=8, choices=lifecycle.MERGE.choices)
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    files = models.JSONField(default=list, blank=True, help_text="Paths that did not merge.")
    report = models.JSONField(default=dict, blank=True)
    note = models.CharField(max_length=500, blank=True, default="")
    at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["goal"], condition=Q(status="pending"), name="one_pending_merge_per_goal"),
            models.CheckConstraint(condition=Q(status__in=lifecycle.MERGE.values), name="merge_status_is_known"),
            models.CheckConstraint(
                condition=Q(status="pending", ended_at__isnull=True)
                | (~Q(status="pending") & Q(ended_at__isnull=False)),
                name="merge_ended_at_exactly_when_not_pending",
            ),
        ]

    def __str__(self) -> str:
        return f"merge {self.pk} into goal {self.goal_id}"


class Gate(models.Model):
    """Whether the hub may begin anything by itself. There is one row, or none yet: then it may."""

    closed = models.BooleanField(default=False)
    since = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=160, blank=True, default="")
    reason = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(pk=1), name="there_is_one_gate"),
        ]

    def __str__(self) -> str:
        return "closed" if self.closed else "open"
