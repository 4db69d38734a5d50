"""Checkup: whether the default branch of a repository was well at one commit."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Now

from apps.insight import lifecycle
from apps.repos.models import Repo
from apps.tasks.models import Task


class CheckupQuerySet(models.QuerySet["Checkup"]):
    def newest(self) -> CheckupQuerySet:
        """The last of each repository that said something, whatever it said."""
        said = Checkup.objects.filter(repo=OuterRef("pk")).exclude(status__in=("pending", "error"))
        last = Repo.objects.order_by().annotate(last=Subquery(said.order_by("-pk").values("pk")[:1])).values("last")
        return self.filter(pk__in=last)

    def unclear(self) -> CheckupQuerySet:
        """The last of each repository that ended by itself, where nobody could say."""
        said = Checkup.objects.filter(repo=OuterRef("pk")).exclude(status="pending")
        ended = said.exclude(status="error", note=lifecycle.PAUSED).order_by("-pk")
        last = Repo.objects.order_by().annotate(last=Subquery(ended.values("pk")[:1])).values("last")
        return self.filter(pk__in=last, status="error")


class Checkup(models.Model):
    """One look at the head of a default branch. `faults` is what was found, each with the goal that is to mend it.

    `basis` is the commit and what was asked of it: the same is not looked at twice, unless nobody could say.
    """

    LIFECYCLE: ClassVar = lifecycle.CHECKUP

    repo = models.ForeignKey(Repo, on_delete=models.CASCADE, related_name="checkups")
    commit = models.CharField(max_length=64)
    basis = models.CharField(max_length=100)
    status = models.CharField(max_length=7, choices=lifecycle.CHECKUP.choices)
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    report = models.JSONField(default=dict, blank=True)
    faults = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=500, blank=True, default="")
    at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = CheckupQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(status__in=lifecycle.CHECKUP.values), name="checkup_status_is_known"),
            models.UniqueConstraint(
                fields=["repo"], condition=Q(status="pending"), name="one_pending_checkup_per_repository"
            ),
            models.UniqueConstraint(
                fields=["repo", "basis"], condition=~Q(status="error"), name="nothing_is_examined_twice"
            ),
            models.CheckConstraint(
                condition=Q(status="pending", ended_at__isnull=True)
                | (~Q(status="pending") & Q(ended_at__isnull=False)),
                name="checkup_ended_at_exactly_when_not_pending",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["repo", "id"], name="checkup_of_repo"),
            models.Index(fields=["ended_at"], name="checkup_ended", condition=Q(ended_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"checkup {self.pk} of {self.commit[:12]}"
