"""Repo: a registered repository, mirrored by the hub."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

SLUG = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9_-]|\.(?!\.|git\Z|lock\Z)){0,62}\Z", "Lower-case letters, digits, and - _ . inside."
)
LOWEST_PLACE = 9


class Repo(models.Model):
    """One repository. Its mirror is the only remote that agents have; without a `url` the mirror is the repository."""

    slug = models.CharField(max_length=64, unique=True, validators=[SLUG])
    url = models.CharField(max_length=500, blank=True, default="")
    default_branch = models.CharField(max_length=200, default="main")
    place = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(LOWEST_PLACE)],
        help_text="0 goes first; each place further back waits a tenth of the lane patience longer.",
    )
    paused = models.BooleanField(default=False, help_text="Tasks wait; what is running goes on.")
    max_running = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How many tasks may run here at once; empty for any number."
    )
    protected_paths = models.JSONField(default=list, blank=True, help_text="Paths whose change is always high risk.")
    checks = models.JSONField(
        default=list, blank=True, help_text="What has to pass on the default branch, and after every slice of a goal."
    )
    approve_plans = models.BooleanField(
        default=False, help_text="The plan of a goal waits until a person has approved it."
    )
    created_at = models.DateTimeField(db_default=Now())
    synced_at = models.DateTimeField(null=True, blank=True)
    sync_error = models.CharField(max_length=1000, blank=True, default="")

    class Meta:
        ordering: ClassVar[list[str]] = ["place", "slug"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(place__lte=LOWEST_PLACE), name="repo_place_is_0_to_9"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def mirror(self) -> Path:
        """The bare repository on the hub's disk."""
        return Path(settings.DATA_DIR) / "repos" / f"{self.slug}.git"
