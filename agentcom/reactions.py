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
    Kind.TASK_COMPLETED: (
        Reaction("apps.forge.jobs.take_result", needs="repo"),
        Reaction("apps.goals.jobs.task_changed", needs="goal"),
        Reaction("apps.insight.jobs.take_result", needs="verification"),
    ),
    Kind.TASK_BURIED: (
        Reaction("apps.forge.jobs.take_failure", needs="forge"),
        Reaction("apps.goals.jobs.task_changed", needs="goal"),
        Reaction("apps.insight.jobs.take_failure", needs="checkup"),
        Reaction("apps.brain.jobs.think"),
    ),
    Kind.TASK_CANCELLED: (
        Reaction("apps.forge.jobs.take_failure", needs="forge"),
        Reaction("apps.goals.jobs.task_changed", needs="goal"),
        Reaction("apps.insight.jobs.take_failure", needs="checkup"),
    ),
    Kind.TASK_REVIVED: (Reaction("apps.goals.jobs.task_changed", needs="goal"),),
    Kind.PULL_MERGED: (
        Reaction("apps.forge.jobs.verify_again"),
        Reaction("apps.goals.jobs.pull_ended", needs="goal"),
        Reaction("apps.insight.jobs.merged"),
        Reaction("apps.brain.jobs.stirred"),
    ),
    Kind.PULL_CLOSED: (Reaction("apps.goals.jobs.pull_ended", needs="goal"),),
    Kind.PULL_OPENED: (Reaction("apps.forge.jobs.refresh", needs="goal"),),
    Kind.GOAL_SUBMITTED: (Reaction("apps.brain.jobs.think"),),
    Kind.GOAL_CHANGED: (Reaction("apps.brain.jobs.think"),),
    Kind.GOAL_BEGUN: (
        Reaction("apps.goals.jobs.decompose", cluster="thinking"),
        Reaction("apps.brain.jobs.goal_moved"),
    ),
    Kind.GOAL_PLANNED: (Reaction("apps.goals.jobs.advance"), Reaction("apps.brain.jobs.goal_moved")),
    Kind.GOAL_APPROVAL_WANTED: (Reaction("apps.brain.jobs.goal_moved"),),
    Kind.GOAL_APPROVED: (Reaction("apps.goals.jobs.advance"), Reaction("apps.brain.jobs.goal_moved")),
    Kind.GOAL_RESUMED: (Reaction("apps.goals.jobs.advance"), Reaction("apps.brain.jobs.goal_moved")),
    Kind.GOAL_CONTINUED: (Reaction("apps.goals.jobs.advance"), Reaction("apps.brain.jobs.goal_moved")),
    Kind.GOAL_MERGED: (Reaction("apps.goals.jobs.advance"), Reaction("apps.brain.jobs.goal_moved")),
    Kind.GOAL_UNMERGED: (Reaction("apps.goals.jobs.advance"), Reaction("apps.brain.jobs.goal_moved")),
    Kind.GOAL_JUDGING: (
        Reaction("apps.goals.jobs.judge", cluster="thinking"),
        Reaction("apps.brain.jobs.goal_moved"),
    ),
    Kind.GOAL_REVIEW_WANTED: (Reaction("apps.brain.jobs.goal_moved"),),
    Kind.GOAL_COMPLETED: (Reaction("apps.brain.jobs.goal_ended"), Reaction("apps.goals.jobs.tidy")),
    Kind.GOAL_FAILED: (Reaction("apps.brain.jobs.goal_ended"), Reaction("apps.goals.jobs.tidy")),
    Kind.GOAL_CANCELLED: (Reaction("apps.brain.jobs.goal_ended"), Reaction("apps.goals.jobs.tidy")),
    Kind.GOAL_LANDED: (Reaction("apps.brain.jobs.goal_ended"),),
    Kind.GOAL_REJECTED: (Reaction("apps.brain.jobs.goal_ended"),),
    Kind.BUDGET_SET: (Reaction("apps.brain.jobs.think"), Reaction("apps.goals.jobs.means_changed")),
    Kind.PRICE_SET: (Reaction("apps.goals.jobs.means_changed"),),
    Kind.SPENDING_LIFTED: (Reaction("apps.goals.jobs.means_changed"),),
    Kind.BRAIN_RESUMED: (
        Reaction("apps.brain.jobs.think"),
        Reaction("apps.goals.jobs.means_changed"),
        Reaction("apps.insight.jobs.look_at_heads"),
    ),
    Kind.ENDPOINT_ADDED: (Reaction("apps.endpoints.jobs.look"),),
    Kind.ENDPOINT_CHANGED: (Reaction("apps.endpoints.jobs.look"),),
    Kind.ENDPOINT_RESTARTED: (Reaction("apps.endpoints.jobs.look", needs="ok"),),
    Kind.ENDPOINT_DRAINED: (Reaction("apps.tasks.jobs.rematch"),),
    Kind.ENDPOINT_RESUMED: (Reaction("apps.tasks.jobs.rematch"),),
    Kind.ENDPOINT_REMOVED: (Reaction("apps.ops.jobs.endpoint_changed"),),
    Kind.ENDPOINT_UP: (
        Reaction("apps.tasks.jobs.reroute"),
        Reaction("apps.brain.jobs.think"),
        Reaction("apps.goals.jobs.means_changed"),
        Reaction("apps.ops.jobs.endpoint_changed"),
    ),
    Kind.ENDPOINT_DOWN: (
        Reaction("apps.tasks.jobs.reroute"),
        Reaction("apps.brain.jobs.think"),
        Reaction("apps.ops.jobs.endpoint_changed"),
    ),
    Kind.REPO_SYNCED: (
        Reaction("apps.forge.jobs.base_moved"),
        Reaction("apps.insight.jobs.head_moved"),
        Reaction("apps.brain.jobs.stirred"),
    ),
    Kind.REPO_CHANGED: (Reaction("apps.insight.jobs.head_moved"), Reaction("apps.brain.jobs.think")),
    Kind.CHECKUP_PASSED: (Reaction("apps.ops.jobs.checkup_ended"),),
    Kind.CHECKUP_FAILED: (Reaction("apps.ops.jobs.checkup_ended"), Reaction("apps.brain.jobs.think")),
}
