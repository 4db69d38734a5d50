"""This room's place in Django."""

from __future__ import annotations

from django.apps import AppConfig


class OpsConfig(AppConfig):
    """Supervision, embedded parts and job queue."""

    name = "apps.ops"

    def ready(self) -> None:
        """Have every job leave a mark (pulse.py)."""
        from django_q.signals import post_execute_in_worker, pre_execute

        from apps.ops.pulse import on_job_began, on_job_ended

        pre_execute.connect(on_job_began, dispatch_uid="apps.ops.pulse")
        post_execute_in_worker.connect(on_job_ended, dispatch_uid="apps.ops.pulse")
