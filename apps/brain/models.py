"""Brain and Stay: what the hub itself is doing, and what it did before."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.brain.decide import Outcome
from apps.brain.lifecycle import BRAIN, State

OUTCOMES = [(outcome.value, outcome.value or "not done") for outcome in Outcome]


class Brain(models.Model):
    """The state of the hub. There is one row, or none yet. The goals' gate says whether it is paused.

    `cycle` numbers the pieces of work that fill improving, contemplating and healing: it is the fence by which what an
    earlier one brings changes nothing. `idle` counts the looks in a row that found nothing.
    """

    LIFECYCLE: ClassVar = BRAIN

    status = models.CharField(max_length=13, choices=BRAIN.choices, default=State.RESTING.value)
    reason = models.CharField(max_length=300, blank=True, default="")
    since = models.DateTimeField(default=timezone.now)
    resumed_at = models.DateTimeField(null=True, blank=True)
    last_progress_at = models.DateTimeField(null=True, blank=True, help_text="When a goal last moved.")
    transition_count = models.PositiveBigIntegerField(default=0)
    cycle_count = models.PositiveBigIntegerField(default=0, help_text="How often it began something after a rest.")

    cycle = models.PositiveBigIntegerField(default=0)
    asks = models.PositiveIntegerField(default=0, help_text="How often the work of this cycle was begun.")
    asked_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=7, blank=True, default="", choices=OUTCOMES)

    idle = models.PositiveSmallIntegerField(default=0)
    looked_at = models.DateTimeField(null=True, blank=True)
    next_look_at = models.DateTimeField(null=True, blank=True)

    heal_window_at = models.DateTimeField(null=True, blank=True)
    heals = models.PositiveSmallIntegerField(default=0, help_text="Tries since heal_window_at.")
    heal_rounds = models.PositiveIntegerField(default=0, help_text="Tries in a row that left something critical.")
    heal_after = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "brain"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(pk=1), name="there_is_one_brain"),
            models.CheckConstraint(condition=Q(status__in=BRAIN.values), name="brain_status_is_known"),
        ]

    def __str__(self) -> str:
        return self.status

    @property
    def state(self) -> State:
        return State(self.status)

    def seconds(self, now: datetime) -> float:
        """How long it has been in its state."""
        return max(0.0, (now - self.since).total_seconds())


class Stay(models.Model):
    """One time that the hub was in a state: why it came, from where, and until when. `move` numbers them from 0."""

    move = models.PositiveBigIntegerField()
    status = models.CharField(max_length=13, choices=BRAIN.choices)
    came_from = models.CharField(max_length=13, blank=True, default="", choices=BRAIN.choices)
    reason = models.CharField(max_length=300, blank=True, default="")
    alarm = models.BooleanField(default=False, help_text="A watchdog moved it here.")
    cycle = models.PositiveBigIntegerField(null=True, blank=True)
    at = models.DateTimeField()
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["move"], name="one_stay_per_move_of_the_brain"),
            models.CheckConstraint(
                condition=Q(left_at__isnull=True) | Q(left_at__gte=models.F("at")), name="a_stay_ends_after_it_began"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["left_at"], name="stay_left"),
            models.Index(fields=["move"], name="open_stay", condition=Q(left_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.status} since {self.at}"

    @property
    def seconds(self) -> float | None:
        """How long it lasted; None while it does."""
        return (self.left_at - self.at).total_seconds() if self.left_at else None
