"""The scene's goals: one that is being carried out, one whose plan waits for a person, one that waits for the first.

Their plans are what a model would have answered; everything after that is done by the steps of life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from apps.dashboard import scene_files as files
from apps.endpoints import sizes
from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.goals import actions, merging, planning, progress
from apps.goals.actions import Wanted
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal, Plan, Slice
from apps.ledger import actions as ledger
from apps.ledger.pricing import Estimate, Usage
from apps.repos import mirror
from apps.repos.trusted import git
from apps.tasks import spending
from apps.tasks.attempts import Fence, complete
from apps.tasks.models import Attempt, Task

if TYPE_CHECKING:
    from apps.dashboard.scene import Scene

TESTS = {"type": "tests_pass", "target": "", "description": "", "timeout_seconds": 120.0}


def goals_of(scene: Scene) -> None:
    """All three."""
    first = handed_in(scene, "goal", files.TARIFFS, tags=["tariffs"])
    planned(first, files.TARIFFS_PLAN)
    deliver(scene, first, 1, files.TARIFFS_TABLE)
    approve = handed_in(scene, "goal-to-approve", files.LABELS, needs_approval=True)
    planned(approve, files.LABELS_PLAN)
    handed_in(scene, "goal-waiting", files.ISLANDS, depends_on=[first.pk])


def handed_in(scene: Scene, key: str, words: Mapping[str, Any], **more: Any) -> Goal:
    """By the operator, on the page."""
    wanted = Wanted(repo=scene.repo, checks=[TESTS], **words, **more)
    made, _ = actions.submit(wanted, by=scene.operator.get_username())
    scene.ids[key] = made.pk
    return made


def planned(goal: Goal, slices: Sequence[Mapping[str, Any]]) -> None:
    """It has begun, and a model has divided it so."""
    actions.begin(goal)
    thought(goal)
    base = mirror.head(goal.repo.mirror, goal.repo.default_branch) or ""
    branch = f"agentcom/goal/{goal.pk}-tariffs"
    git(goal.repo.mirror, "update-ref", mirror.HEADS + branch, base)
    with transaction.atomic():
        now = Goal.objects.select_related("repo").get(pk=goal.pk)
        Plan.objects.create(goal=now, document={}, model=files.THINKER)
        progress.add_slices(now, [{"tier": "standard", "checks": [TESTS], "after": [], **one} for one in slices])
        facts = {"branch": branch, "base": base}
        if now.needs_approval:
            Goal.objects.filter(pk=goal.pk).update(**facts)
            record(Kind.GOAL_APPROVAL_WANTED, now, slices=len(slices))
            return
        transition(now, GoalStatus.EXECUTING, Kind.GOAL_PLANNED, set=facts, slices=len(slices))
    progress.advance(goal.pk)


def thought(goal: Goal) -> None:
    """The call in which the model made the plan, as it is posted."""
    scopes = {"goal": str(goal.pk), "repo": goal.repo.slug, "state": planning.STATE}
    call, asked = f"scene-plan-{goal.pk}", Estimate(prompt=5_461, output=sizes.LEAST_ANSWER)
    ledger.reserve(call, scopes, model=f"ollama:{files.THINKER}", purpose=planning.PURPOSE, estimate=asked)
    ledger.settle(call, Usage(input=4_012, output=871), duration_ms=47_300)


def called(attempt: Attempt, *prompts: int) -> None:
    """The calls that the model of an attempt has made so far, as its agent tells of them."""
    for nth, prompt in enumerate(prompts, 1):
        tokens, at = {"input": prompt, "output": 240}, timezone.now()
        spending.settle(
            attempt, call_id=str(nth), tokens=tokens, started_at=at, certain=True, duration_ms=6_100, request_id=""
        )


def deliver(scene: Scene, goal: Goal, number: int, changes: Mapping[str, str]) -> None:
    """An agent does the slice, another repeats the checks on the merged tree, and its work is in the goal's branch."""
    task = _task(goal, number)
    attempt = scene.start(task, steps=files.SLICE_STEPS)
    called(attempt, 2_950, 3_410, 3_902, 4_377)
    scene.finish(attempt, scene.push(attempt, changes))
    progress.advance(goal.pk)
    pending = goal.merges.select_related("task").get(status="pending")
    assert pending.task is not None
    checking = scene.start(pending.task)
    report = scene.passed(pending.task, commit=pending.commit, tree=pending.tree)
    fence = Fence(pending.task.pk, checking.pk, checking.agent_id)
    complete(fence, {"executor": "verify", "commit": pending.commit, "tree": pending.tree}, [report])
    merging.take_report(Task.objects.get(pk=pending.task.pk))
    progress.advance(goal.pk)


def work_on(scene: Scene, key: str, *numbers: int) -> None:
    """Agents have begun with these slices."""
    for number in numbers:
        attempt = scene.start(_task(Goal.objects.get(pk=scene.ids[key]), number), steps=files.SLICE_STEPS[:3])
        called(attempt, 2_950, 3_410)


def _task(goal: Goal, number: int) -> Task:
    one = Slice.objects.select_related("task").get(goal=goal, number=number)
    assert one.task is not None
    return one.task
