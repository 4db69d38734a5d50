"""What people do with goals: hand in, change, approve, cancel, let go on, hand in again. `begin` is the hub's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Invalid, Refused
from apps.forge.plain import one_line
from apps.goals import dependencies
from apps.goals.lifecycle import GoalStatus, MergeStatus
from apps.goals.models import Goal, Plan, Slice, Source
from apps.repos import checks as checking
from apps.repos.models import Repo
from apps.tasks import actions as tasks
from apps.tasks.dependencies import LOST
from apps.tasks.lifecycle import TASK, TaskStatus
from apps.tasks.models import Lane, Task

MOST_CRITERIA, LONGEST_CRITERION = 20, 1_000
MOST_TAGS, LONGEST_TAG = 20, 64
MOST_HINTS, LONGEST_HINT = 50, 1_000


class GoalEnded(Refused):
    """The goal is {status} already."""


class NothingToApprove(Refused):
    """The goal has no plan that waits for approval."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a goal asks for. `needs_approval`: whether its plan waits for a person; None is as its repository says.

    `checks` have to pass after every slice, `final_checks` once all of them are merged.
    """

    title: str
    repo: Repo
    description: str = ""
    success_criteria: Sequence[str] = ()
    checks: Sequence[Mapping[str, Any]] = ()
    final_checks: Sequence[Mapping[str, Any]] = ()
    file_hints: Sequence[Mapping[str, Any]] = ()
    tags: Sequence[str] = ()
    lane: int = Lane.NORMAL
    source: Source = Source.API
    depends_on: Sequence[int] = ()
    idempotency_key: str | None = None
    needs_approval: bool | None = None


def watchers(goal: Goal) -> list[str]:
    """The channel groups to hint to when `goal` changed."""
    return ["dashboard", goal.group]


def submit(wanted: Wanted, *, by: str, fingerprint: str = "", again_of: Goal | None = None) -> tuple[Goal, bool]:
    """Take a goal into the backlog. With a known idempotency key: the goal that has it, and False. Raises Invalid.

    Without any checks of its own it has those of its repository.
    """
    if wanted.idempotency_key and (known := _known(wanted.idempotency_key)):
        return known, False
    fields = _fields(wanted) | {"fingerprint": fingerprint, "again_of": again_of}
    try:
        with transaction.atomic():
            goal = Goal.objects.create(**fields, status=GoalStatus.SUBMITTED, submitted_by=by[:160])
            dependencies.tie(goal, wanted.depends_on)
            facts = {"source": goal.source, "lane": Lane(goal.lane).label.lower()}
            record(Kind.GOAL_SUBMITTED, goal, tell=watchers(goal), actor=by, **facts)
    except IntegrityError:  # the same key came in twice at once; the other one won
        if wanted.idempotency_key and (known := _known(wanted.idempotency_key)):
            return known, False
        raise
    return Goal.objects.select_related("repo").get(pk=goal.pk), True


def edit(goal: Goal, *, by: str, **fields: Any) -> None:
    """Change what is asked for before it has begun; `lane` and `tags` until it has ended. Raises Invalid, GoalEnded."""
    if unknown := sorted(fields.keys() - _READERS.keys()):
        raise Invalid(unknown[0], "This cannot be changed.")
    with transaction.atomic():
        if "depends_on" in fields:
            dependencies.one_at_a_time()  # before the row: two that tie their goals to each other would wait for ever
        now = Goal.objects.select_for_update().get(pk=goal.pk)
        if now.is_final:
            raise GoalEnded("goal_ended", status=now.status)
        late = sorted(fields.keys() - ALWAYS)
        if late and now.status != GoalStatus.SUBMITTED:
            raise Refused("goal_begun", f"This goal has started; {', '.join(late)} can no longer be changed.")
        after = fields.pop("depends_on", None)
        values = {name: _READERS[name](value) for name, value in fields.items()}
        changed = {name: value for name, value in values.items() if getattr(now, name) != value}
        facts: dict[str, Any] = dict(changed)
        if after is not None and dependencies.replace(now, after):
            facts["depends_on"] = list(after)
        if changed:
            Goal.objects.filter(pk=goal.pk).update(**changed)
        if "lane" in changed:
            for task in Task.objects.filter(goal=goal.pk, status__in=[TaskStatus.QUEUED, TaskStatus.WAITING]):
                tasks.move_to_lane(task, changed["lane"])
        if facts:
            record(Kind.GOAL_CHANGED, now, tell=watchers(now), actor=by, **facts)


ALWAYS = frozenset({"lane", "tags"})


@transaction.atomic
def approve(goal: Goal, *, by: str) -> None:
    """Let the plan be carried out. Raises NothingToApprove."""
    now = Goal.objects.select_for_update().get(pk=goal.pk)
    if not now.awaits_approval:
        raise NothingToApprove("nothing_to_approve")
    approved = {"approved_at": Now(), "approved_by": by[:160], "hold": ""}
    transition(now, GoalStatus.EXECUTING, Kind.GOAL_APPROVED, set=approved, tell=_everybody(now), actor=by)


def cancel(goal: Goal, *, by: str, reason: str = "") -> None:
    """Stop it and everything that is done for it; the record stays, and so do the branches. Raises GoalEnded."""
    with transaction.atomic():
        now = Goal.objects.select_for_update().get(pk=goal.pk)
        if now.is_final:
            raise GoalEnded("goal_ended", status=now.status)
        ended = {"finished_at": Now(), "reason": reason[:1_000], "hold": "", "claim_until": None}
        if now.is_own:
            ended["rejected_at"] = Now()
        transition(
            now, GoalStatus.CANCELLED, Kind.GOAL_CANCELLED, set=ended, tell=_everybody(now), actor=by, reason=reason
        )
        for merge in now.merges.filter(status=MergeStatus.PENDING):
            changes = {"ended_at": Now(), "note": "Its goal was cancelled."}
            transition(merge, MergeStatus.STALE, Kind.MERGE_ENDED, set=changes, tell=watchers(now), goal=now.pk)
        stop_tasks(now, by=by, reason="Its goal was cancelled.")


def stop_tasks(goal: Goal, *, by: str, reason: str) -> None:
    """Cancel what is still going on for `goal`. Call inside a transaction."""
    for task in Task.objects.filter(goal=goal.pk, finished_at__isnull=True).exclude(status__in=TASK.final):
        with contextlib.suppress(Refused):  # it ended by itself in this moment
            tasks.cancel(task, by=by, reason=reason)


@transaction.atomic
def go_on(goal: Goal, *, by: str) -> None:
    """Let the hub try once more with what a person has looked at; what was lost is handed in anew.

    Raises Refused when it does not wait for a person.
    """
    now = Goal.objects.select_for_update().get(pk=goal.pk)
    if now.status != GoalStatus.NEEDS_REVIEW:
        raise Refused("not_in_review", f"This goal is {now.status}; only a goal in needs_review can be continued.")
    fresh: dict[str, Any] = {"reason": "", "hold": "", "tries": 0, "rounds": 0, "not_before": None, "claim_until": None}
    told: dict[str, Any] = {"set": fresh, "tell": _everybody(now), "actor": by}
    if not Plan.objects.filter(goal=now).exists():
        transition(now, GoalStatus.DECOMPOSING, Kind.GOAL_BEGUN, **told)
        return
    transition(now, GoalStatus.EXECUTING, Kind.GOAL_RESUMED, **told)
    Slice.objects.filter(goal=now, catches_up=True, merged_at__isnull=False).update(
        catches_up=False
    )  # they had their turn
    for one in Slice.objects.filter(goal=now, merged_at__isnull=True).select_related("task"):
        lost = one.task is not None and one.task.status in LOST
        Slice.objects.filter(pk=one.pk).update(tries=0, **({"task": None} if lost else {}))


@transaction.atomic
def resubmit(goal: Goal, *, by: str) -> Goal:
    """A new goal like one that has ended; the old one stays as it is. Raises Refused while it goes on."""
    goal = Goal.objects.select_for_update(of=("self",)).select_related("repo").get(pk=goal.pk)
    if not goal.is_final:
        raise Refused("goal_goes_on", f"This goal is {goal.status}; only one that has ended can be handed in again.")
    if again := goal.again.filter(finished_at__isnull=True).first():
        raise Refused("goal_again", f"It was handed in again already, as goal {again.pk}.")
    wanted = Wanted(
        title=goal.title,
        repo=goal.repo,
        description=goal.description,
        success_criteria=goal.success_criteria,
        checks=goal.checks,
        final_checks=goal.final_checks,
        file_hints=goal.file_hints,
        tags=goal.tags,
        lane=goal.lane,
        source=Source(goal.source) if not goal.is_own else Source.PAGE,
        depends_on=dependencies.missing(goal),
        needs_approval=goal.needs_approval,
    )
    return submit(wanted, by=by, again_of=goal)[0]


@transaction.atomic
def begin(goal: Goal) -> None:
    """Its turn has come: a plan is to be made. Raises Stale when it moved, Refused when it has to wait after all."""
    Goal.objects.select_for_update().get(pk=goal.pk)  # so that nobody makes it wait for another in this moment
    if dependencies.missing(goal):
        raise Refused("goal_waits", "It waits for another goal whose work is not merged yet.")
    begun = {"begun_at": Now(), "tries": 0, "hold": "", "not_before": None}
    transition(goal, GoalStatus.DECOMPOSING, Kind.GOAL_BEGUN, set=begun, tell=watchers(goal))


def _everybody(goal: Goal) -> list[str]:
    return [*watchers(goal), "needs-you"]


def _known(key: str) -> Goal | None:
    return Goal.objects.select_related("repo").filter(idempotency_key=key).first()


def _fields(wanted: Wanted) -> dict[str, Any]:
    policy = wanted.repo.approve_plans
    return {
        "title": _title(wanted.title),
        "description": _description(wanted.description),
        "repo": wanted.repo,
        "success_criteria": _criteria(wanted.success_criteria),
        "checks": _checks(wanted.checks) or ([] if wanted.final_checks else wanted.repo.checks),
        "final_checks": _checks(wanted.final_checks),
        "file_hints": _hints(wanted.file_hints),
        "tags": _tags(wanted.tags),
        "lane": _lane(wanted.lane),
        "source": Source(wanted.source),
        "needs_approval": policy if wanted.needs_approval is None else bool(wanted.needs_approval),
        "idempotency_key": wanted.idempotency_key or None,
    }


def _title(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Invalid("title", "Say in a line what you want.")
    return one_line(value.strip(), 200)


def _description(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 10_000 or "\0" in value:
        raise Invalid("description", "At most 10000 characters.")
    return value


def _criteria(value: Any) -> list[str]:
    return _lines("success_criteria", value, MOST_CRITERIA, LONGEST_CRITERION)


def _tags(value: Any) -> list[str]:
    return list(dict.fromkeys(_lines("tags", value, MOST_TAGS, LONGEST_TAG)))


def _lines(field: str, value: Any, most: int, longest: int) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and "\0" not in one for one in value):
        raise Invalid(field, "This is a list of lines.")
    lines = [line for one in value if (line := one.strip())]
    if len(lines) > most or any(len(line) > longest for line in lines):
        raise Invalid(field, f"At most {most} lines of {longest} characters.")
    return lines


def _checks(value: Any) -> list[dict[str, Any]]:
    try:
        return checking.read(list(value))
    except (TypeError, ValueError) as wrong:
        raise Invalid("checks", str(wrong)) from wrong


def _hints(value: Any) -> list[dict[str, str]]:
    wrong = Invalid("file_hints", f'This is a list of at most {MOST_HINTS} files: {{"path": "…", "reason": "…"}}.')
    if not isinstance(value, list | tuple) or len(value) > MOST_HINTS:
        raise wrong
    return [_hint(one, wrong) for one in value]


def _hint(value: Any, wrong: Invalid) -> dict[str, str]:
    if not isinstance(value, Mapping) or value.keys() - {"path", "reason"} or not value.get("path"):
        raise wrong
    said = {"path": value["path"], "reason": value.get("reason", "")}
    if not all(isinstance(text, str) and len(text) <= LONGEST_HINT and "\0" not in text for text in said.values()):
        raise wrong
    return said


def _lane(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in Lane.values:
        raise Invalid("lane", f"This is a number from {min(Lane.values)} to {max(Lane.values)}.")
    return int(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "title": _title,
    "description": _description,
    "success_criteria": _criteria,
    "checks": _checks,
    "tags": _tags,
    "lane": _lane,
    "depends_on": list,
}
