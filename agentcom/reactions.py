"""What follows from what: to events what urls.py is to paths. Each line queues a job in the commit of the event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.events.kinds import Kind


@dataclass(frozen=True)
class Reaction:
    """`job` is the dotted path of a function that takes the subject's id; `needs` names a fact the event must carry."""

    job: str
    needs: str = ""
    cluster: str = "default"

    def wanted(self, data: Mapping[str, Any]) -> bool:
        """Whether the event carries what this reaction is about; keeps jobs that would do nothing out of the queue."""
        return not self.needs or bool(data.get(self.needs))


REACTIONS: Mapping[Kind, tuple[Reaction, ...]] = {
    Kind.TASK_COMPLETED: (Reaction("apps.forge.jobs.take_result", needs="repo"),),
    Kind.TASK_BURIED: (Reaction("apps.forge.jobs.take_failure", needs="forge"),),
    Kind.TASK_CANCELLED: (Reaction("apps.forge.jobs.take_failure", needs="forge"),),
    Kind.PULL_MERGED: (Reaction("apps.forge.jobs.verify_again"),),
    Kind.ENDPOINT_ADDED: (Reaction("apps.endpoints.jobs.look"),),
    Kind.ENDPOINT_CHANGED: (Reaction("apps.endpoints.jobs.look"),),
    Kind.ENDPOINT_DRAINED: (Reaction("apps.tasks.jobs.rematch"),),
    Kind.ENDPOINT_RESUMED: (Reaction("apps.tasks.jobs.rematch"),),
    Kind.ENDPOINT_UP: (Reaction("apps.tasks.jobs.reroute"),),
    Kind.ENDPOINT_DOWN: (Reaction("apps.tasks.jobs.reroute"),),
    Kind.REPO_SYNCED: (Reaction("apps.forge.jobs.base_moved"),),
}
