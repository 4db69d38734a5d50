"""Alert: something that a person should know of until it is over. Remedy: what healing did, and what came of it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Severity(models.TextChoices):
    """`critical` is for what stops work; `warning` for what will, or may."""

    WARNING = "warning"
    CRITICAL = "critical"


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> AlertQuerySet:
        return self.filter(cleared_at__isnull=True)


class Alert(models.Model):
    """One trouble, from the moment it was raised to the moment it was over. Raised again meanwhile, it is counted."""

    key = models.CharField(max_length=200, help_text="What it is about, such as endpoint-down:4.")
    severity = models.CharField(max_length=8, choices=Severity.choices)
    message = models.CharField(max_length=500)
    facts = models.JSONField(default=dict, blank=True)
    times = models.PositiveIntegerField(default=1, help_text="How often it was raised.")
    raised_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=160, blank=True, default="")
    cleared_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="alert_severity_is_known"),
            models.UniqueConstraint(
                fields=["key"], condition=Q(cleared_at__isnull=True), name="one_open_alert_per_key"
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at__isnull=True, acknowledged_by="")
                | (Q(acknowledged_at__isnull=False) & ~Q(acknowledged_by="")),
                name="an_alert_is_acknowledged_by_somebody",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["cleared_at"], name="alert_cleared", condition=Q(cleared_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.message

    @property
    def is_open(self) -> bool:
        return self.cleared_at is None


class Healing(models.TextChoices):
    """What came of a remedy."""

    DONE = "done"
    NOTHING = "nothing to do"
    FAILED = "failed"
    PLANNED = "planned"


class Remedy(models.Model):
    """One thing that healing did in one round. `before` and `after` are facts of what it was done to."""

    round = models.PositiveBigIntegerField()
    category = models.CharField(max_length=20)
    subject = models.CharField(max_length=220)
    about = models.PositiveBigIntegerField(null=True, blank=True, help_text="The number of the attempt or endpoint.")
    action = models.CharField(max_length=60)
    outcome = models.CharField(max_length=13, choices=Healing.choices)
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    detail = models.CharField(max_length=500, blank=True, default="")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        verbose_name_plural = "remedies"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(outcome__in=Healing.values), name="remedy_outcome_is_known"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["at"], name="remedy_at"),
            models.Index(fields=["about", "action", "at"], name="remedy_about", condition=Q(about__isnull=False)),
            models.Index(fields=["subject", "at"], name="remedy_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.subject}"
