"""RoutingRule: which grades of model may do which tier of work, in which order."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

TIERS = ("trivial", "standard", "complex", "unknown")
GRADE = RegexValidator(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z", "Lower-case letters, digits, dots, dashes, underscores.")
MOST_GRADES = 10
LONGEST_WAIT = 7 * 24 * 3600


def check_chain(chain: object) -> None:
    """Raises ValidationError for what is no chain: a list of different grades, at least one."""
    if not isinstance(chain, list) or not all(isinstance(grade, str) for grade in chain):
        raise ValidationError('A chain is a list of grades, such as ["local", "claude"].')
    if not 0 < len(chain) <= MOST_GRADES or len(set(chain)) != len(chain):
        raise ValidationError(f"A chain names at least one grade, each once, at most {MOST_GRADES}.")
    for grade in chain:
        GRADE(grade)


class RoutingRule(models.Model):
    """The chain of one tier: a task begins with its first grade, and moves on when that failed or is not to be had."""

    tier = models.CharField(max_length=10, unique=True, choices=[(tier, tier) for tier in TIERS])
    chain = models.JSONField(
        validators=[check_chain], help_text='Grades of models in the order to try, such as ["local", "claude"].'
    )
    wait_seconds = models.PositiveIntegerField(
        default=120,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_WAIT)],
        help_text="So long a task waits for a machine that offers the grade, before the next grade may have it too.",
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(tier__in=TIERS), name="routing_tier_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.tier} tasks"  # nothing of the chain: a form shows its row while the chain is refused
