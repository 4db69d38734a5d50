"""Task, Attempt, Dependency, Demand, ProgressBatch: the nouns of the queue and the constraints that keep it honest."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.endpoints.models import Endpoint
from apps.repos.models import Repo
from apps.tasks import lifecycle
from apps.tasks.lifecycle import HELD, Outcome


class Lane(models.IntegerChoices):
    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class Work(models.TextChoices):
    """What a task is for: changing something, or repeating the checks of a pull request."""

    CHANGE = "change"
    VERIFICATION = "verification"


class Demand(models.Model):
    """What queued tasks ask of an agent. Many tasks, few demands: the matcher looks at the head of each."""

    key = models.CharField(max_length=64, unique=True)
    executor = models.CharField(max_length=64)
    grades = models.JSONField(default=list)
    own = models.JSONField(default=list)
    """The grades that tasks get back as soon as one of these can be had; empty where the grades are their own."""
    capabilities = models.JSONField(default=list)
    repo = models.ForeignKey(Repo, null=True, on_delete=models.CASCADE, related_name="+")
    target = models.ForeignKey(Agent, null=True, on_delete=models.CASCADE, related_name="+")
    avoid = models.ForeignKey(Agent, null=True, on_delete=models.CASCADE, related_name="+")
    in_vain_since = models.DateTimeField(null=True)
    """No agent that is there could do what waits in it: found so for the first time then, and ever since."""

    def __str__(self) -> str:
        return self.key


class TaskQuerySet(models.QuerySet["Task"]):
    def held(self) -> TaskQuerySet:
        return self.filter(status__in=HELD)

    def changes(self) -> TaskQuerySet:
        """Without the verifications, which show on their pull request."""
        return self.filter(work=Work.CHANGE)

    def rested(self) -> TaskQuerySet:
        """Queued after a failure, and the wait is over."""
        # Only queued tasks rest. To say so again would lead SQLite through the whole queue instead of this index.
        return self.filter(demand__isnull=True, not_before__lte=Now())

    def overdue(self) -> TaskQuerySet:
        return self.filter(complete_by__lte=Now(), finished_at__isnull=True)


class Task(models.Model):
    """One piece of work for one agent at a time."""

    LIFECYCLE: ClassVar = lifecycle.TASK

    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", max_length=10_000)
    command = models.TextField(blank=True, default="", max_length=10_000)
    work = models.CharField(max_length=12, choices=Work.choices, default=Work.CHANGE)
    status = models.CharField(max_length=10, choices=lifecycle.TASK.choices)
    lane = models.PositiveSmallIntegerField(choices=Lane.choices, default=Lane.NORMAL)
    rank = models.FloatField(default=0)
    demand = models.ForeignKey(
        Demand, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    repo = models.ForeignKey(Repo, null=True, blank=True, on_delete=models.PROTECT, related_name="tasks")
    capabilities = models.JSONField(default=list, blank=True)
    target = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    avoid = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    executor = models.CharField(max_length=64)
    grades = models.JSONField(default=list, blank=True)
    grades_before = models.JSONField(default=list, blank=True)
    """Its own grades, while an endpoint is down and it may have others; empty otherwise."""
    tier = models.CharField(max_length=10, default="unknown")
    complexity = models.JSONField(default=dict, blank=True)

    checks = models.JSONField(default=list, blank=True)
    success_criteria = models.JSONField(default=list, blank=True)
    file_hints = models.JSONField(default=list, blank=True)
    remarks = models.JSONField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    goal = models.PositiveBigIntegerField(null=True, blank=True, help_text="The number of the goal that it is for.")
    start = models.CharField(max_length=200, blank=True, default="")
    branch = models.CharField(max_length=200, blank=True, default="")
    base = models.CharField(max_length=64, blank=True, default="")
    commit = models.CharField(max_length=64, blank=True, default="")

    max_attempts = models.PositiveSmallIntegerField(default=3, validators=[MinValueValidator(1), MaxValueValidator(20)])
    max_fixes = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(5)])
    timeout_seconds = models.FloatField(default=600)
    failures = models.PositiveSmallIntegerField(default=0)
    reclaims = models.PositiveSmallIntegerField(default=0)
    generation = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True)
    complete_by = models.DateTimeField(null=True, blank=True)
    stranded = models.BooleanField(default=False)
    last_error = models.TextField(blank=True, default="")

    idempotency_key = models.CharField(max_length=200, null=True, blank=True, unique=True)
    submitted_by = models.CharField(max_length=160, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(status__in=lifecycle.TASK.values), name="task_status_is_known"),
            models.CheckConstraint(
                condition=Q(status__in=sorted(lifecycle.TASK.final), finished_at__isnull=False)
                | (~Q(status__in=sorted(lifecycle.TASK.final)) & Q(finished_at__isnull=True)),
                name="task_finished_at_exactly_when_final",
            ),
            models.CheckConstraint(
                condition=Q(demand__isnull=True) | Q(status="queued"), name="only_queued_tasks_are_in_a_demand"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["demand", "rank", "id"], name="task_demand_head", condition=Q(demand__isnull=False)),
            models.Index(
                fields=["not_before"],
                name="task_resting",
                condition=Q(not_before__isnull=False, demand__isnull=True),
            ),
            models.Index(
                fields=["complete_by"],
                name="task_deadline",
                condition=Q(complete_by__isnull=False, finished_at__isnull=True),
            ),
            models.Index(fields=["status", "id"], name="task_status_id"),
            models.Index(fields=["goal", "id"], name="task_goal", condition=Q(goal__isnull=False)),
            models.Index(fields=["finished_at"], name="task_finished", condition=Q(finished_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    @property
    def group(self) -> str:
        """What pages that show this task listen for."""
        return f"task.{self.pk}"

    @property
    def is_final(self) -> bool:
        return lifecycle.TASK.is_final(self.status)


class Dependency(models.Model):
    """`task` may only start when `prerequisite` is completed."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="prerequisites")
    prerequisite = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="dependants")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["task", "prerequisite"], name="one_dependency_per_pair"),
            models.CheckConstraint(condition=~Q(task=models.F("prerequisite")), name="no_task_depends_on_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} after {self.prerequisite_id}"


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def open(self) -> AttemptQuerySet:
        # By ended_at, not by outcome: SQLite uses a partial index only when no parameter stands in its condition.
        return self.filter(ended_at__isnull=True)

    def lapsed(self) -> AttemptQuerySet:
        """Open, and the lease has run out by the database's clock."""
        return self.open().filter(lease_until__lte=Now())


class Attempt(models.Model):
    """One try of one agent at one task. Carries the generation, the lease, and in the end what came of it.

    Its id is the fence: it is on every frame and in the WHERE of every statement that a sidecar causes.
    """

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="attempts")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="attempts")
    repo = models.ForeignKey(Repo, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    generation = models.PositiveIntegerField()
    outcome = models.CharField(max_length=10, choices=lifecycle.ATTEMPT.choices, default=Outcome.OPEN)
    lease_until = models.DateTimeField()
    assigned_at = models.DateTimeField(db_default=Now())
    accepted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    branch = models.CharField(max_length=200, blank=True, default="")
    executor = models.CharField(max_length=64, blank=True, default="")
    model = models.CharField(max_length=200, blank=True, default="")
    grade = models.CharField(max_length=64, blank=True, default="")
    endpoint = models.ForeignKey(
        Endpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    url = models.CharField(max_length=200, blank=True, default="")
    decision = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)
    reports = models.JSONField(default=list, blank=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error = models.TextField(blank=True, default="")
    blocked_reason = models.TextField(blank=True, default="")
    salvage_ref = models.CharField(max_length=100, blank=True, default="")
    salvage_commit = models.CharField(max_length=64, blank=True, default="")

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["task"], condition=Q(ended_at__isnull=True), name="one_open_attempt_per_task"
            ),
            models.UniqueConstraint(
                fields=["agent"], condition=Q(ended_at__isnull=True), name="one_open_attempt_per_agent"
            ),
            models.UniqueConstraint(fields=["task", "generation"], name="one_attempt_per_generation"),
            models.CheckConstraint(
                condition=Q(outcome="open", ended_at__isnull=True) | (~Q(outcome="open") & Q(ended_at__isnull=False)),
                name="attempt_ended_at_exactly_when_not_open",
            ),
            models.CheckConstraint(condition=Q(outcome__in=lifecycle.ATTEMPT.values), name="attempt_outcome_is_known"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["lease_until"], name="attempt_lease", condition=Q(ended_at__isnull=True)),
            models.Index(fields=["repo"], name="attempt_running_in_repo", condition=Q(ended_at__isnull=True)),
            models.Index(fields=["endpoint"], name="attempt_endpoint", condition=Q(endpoint__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"attempt {self.pk} ({self.outcome})"

    @property
    def salvage_name(self) -> str:
        """Where the sidecar may save what this attempt leaves behind."""
        return f"refs/agentcom/salvage/{self.pk}"


class Trajectory(models.Model):
    """How a model went about an attempt, step by step, as its sidecar reported it."""

    attempt = models.OneToOneField(Attempt, primary_key=True, on_delete=models.CASCADE, related_name="trajectory")
    steps = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"{len(self.steps)} steps of attempt {self.attempt_id}"


class Door(models.Model):
    """When a web process last stood open for sidecars; a lease cannot be renewed at a door that is shut. One row."""

    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(pk=1), name="there_is_one_door"),
        ]

    def __str__(self) -> str:
        return f"open at {self.at}"


class ProgressBatch(models.Model):
    """Live steps of an attempt, as they came in; a batch that is sent twice is stored once."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="progress")
    seq = models.PositiveBigIntegerField()
    steps = models.JSONField(default=list)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar[list[str]] = ["seq"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["attempt", "seq"], name="one_progress_batch_per_seq"),
        ]

    def __str__(self) -> str:
        return f"{self.attempt_id}.{self.seq}"
