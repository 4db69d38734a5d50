"""`manage.py sync_schedules`: make django-q2's schedules equal to agentcom/schedules.py."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from apps.ops import clock


class Command(BaseCommand):
    """Prints what changed."""

    help = "Make the clock equal to agentcom/schedules.py."

    def handle(self, *args: Any, **options: Any) -> None:
        """Add, change and remove schedules."""
        changed = clock.equal_to(import_string(settings.SCHEDULES))
        if options["verbosity"]:
            self.stdout.write("\n".join(changed) or "Nothing to change.")
