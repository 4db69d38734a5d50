"""Event: the append-only memory of the hub."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now

from apps.events.kinds import Kind


class Event(models.Model):
    """Something that happened to one subject, such as `task/42`; written in the commit that made it true."""

    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=80)
    actor = models.CharField(max_length=160, blank=True, default="")
    data = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering: ClassVar[list[str]] = ["id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["subject", "id"], name="event_subject"),
            models.Index(fields=["at"], name="event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.kind}"

    @property
    def meaning(self) -> str:
        return Kind(self.kind).meaning  # type: ignore[call-arg]  # a look-up, not a new member

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Events are only ever added."""
        if not self._state.adding:
            raise TypeError("An event is never changed.")
        super().save(*args, **kwargs)
