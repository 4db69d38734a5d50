"""What the hub has to say to one sidecar: read from the database, turned into frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Exists, FilteredRelation, Q, QuerySet

from apps.agents.models import Agent, Token
from apps.events.prepared import Prepared, PreparedObjects
from apps.events.refused import Refused
from apps.gateway import known, restarts
from apps.ledger.pricing import CLASSES
from apps.tasks import spending
from apps.tasks.by_hand import HAND
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt, Task
from apps.tasks.verdict import failing
from sidecar.wire import messages, nouns

logger = structlog.get_logger(__name__)

REFUSED, REPLACED = 4401, 4409
RESTARTING = 1012
"""Taken for dead while it was not, as after a long stop of the database: it may come back at once."""
PREVIOUS = 3
"""How many earlier attempts a brief quotes."""


@dataclass
class Told:
    """What a connection has been told: open attempts by id with their task, the endpoints, what the operator wants.

    And which restarts of endpoints it was asked for, or are another's to do.
    """

    pushed: dict[int, int] = field(default_factory=dict)
    endpoints: messages.EndpointsKnown = field(default_factory=messages.EndpointsKnown)
    desired: messages.AgentDesired = field(default_factory=messages.AgentDesired)
    restarts: set[int] = field(default_factory=set)

    def forget(self, attempt: int) -> None:
        self.pushed.pop(attempt, None)


@dataclass(frozen=True)
class News:
    """`frames` to send; `close` is a close code when this connection has to end."""

    frames: tuple[messages.Frame, ...] = ()
    close: int | None = None


def news(agent: int, connection: str, token: int, told: Told) -> News:
    """What changed for `agent` since it was last told. Hearing twice, late or never is fine: it looks at the truth."""
    rows = _STANDING.rows(agent=agent, token=token)
    if not rows or not rows[0][0]:
        return News(close=REFUSED)
    if rows[0][1] != connection:
        return News(close=RESTARTING if rows[0][1] is None else REPLACED)
    open_now = {attempt for _, _, attempt, *_ in rows if attempt is not None}
    over = {pk: task for pk, task in told.pushed.items() if pk not in open_now}
    ended = [_ended(pk, task) for pk, task in over.items()]
    fresh = {attempt.pk: attempt for attempt in _whole(open_now - told.pushed.keys())}
    assigned = {pk: frame for pk, attempt in fresh.items() if (frame := _assignment_or_none(attempt))}
    endpoints = known.current()
    asked, told_of = restarts.take(agent, told.restarts)  # it writes, so it comes after all that may fail
    # only what is returned counts as told: whatever is raised before this is looked at again
    for pk in over:
        told.forget(pk)
    told.pushed |= {pk: fresh[pk].task_id for pk in assigned}
    told.restarts = told_of
    return News((*ended, *_standing_news(told, endpoints, rows[0][3:]), *asked, *assigned.values()))


def _standing_news(told: Told, endpoints: messages.EndpointsKnown, wishes: Sequence[Any]) -> list[messages.Frame]:
    """Endpoints, and what the operator wants, if that changed; before new work, which a restarting sidecar refuses."""
    changed: list[messages.Frame] = []
    if endpoints != told.endpoints:
        told.endpoints = endpoints
        changed.append(endpoints)
    if (desired := desired_of(wishes)) != told.desired:
        told.desired = desired
        changed.append(desired)
    return changed


WISHES = ("paused", "restart_asked_at", "restart_of", "restart_now")


def desired_of(row: Sequence[Any]) -> messages.AgentDesired:
    """What the operator wants of the agent, from its `WISHES`."""
    paused, asked_at, process, now = row
    return messages.AgentDesired(drain=bool(paused) or asked_at is not None, restart=process, now=bool(now))


def _standing(agent: int, token: int) -> QuerySet[Agent, Any]:
    """Whether the token lives, who speaks for the agent, and what it has open: a row each, or one without."""
    live = Exists(Token.objects.live().filter(pk=token))
    held = FilteredRelation("attempts", condition=Q(attempts__ended_at__isnull=True))
    present = Agent.objects.filter(pk=agent, retired_at__isnull=True).order_by()
    return present.annotate(live=live, held=held).values_list("live", "connection", "held__pk", *WISHES)


def _to_tell(attempt: int) -> QuerySet[Attempt]:
    """The attempt with all that a frame tells of it, unless a person has it in hand."""
    whole = Attempt.objects.filter(pk=attempt).exclude(task__executor=HAND).select_related("task__repo", "agent")
    return whole.only("generation", "branch", "executor", "model", "url", "agent__name", *_TOLD_OF_TASK, *_TOLD_OF_REPO)


_TOLD_OF_TASK = [
    f"task__{field}"
    for field in (
        *("title", "description", "command", "executor", "tier", "checks", "success_criteria", "file_hints", "remarks"),
        *("max_fixes", "timeout_seconds", "start", "commit", "base", "metadata"),
    )
]
_TOLD_OF_REPO = ["task__repo__slug", "task__repo__default_branch"]
_STANDING, _TO_TELL = Prepared(_standing, agent=int, token=int), PreparedObjects(_to_tell, attempt=int)


def _whole(attempts: Set[int]) -> list[Attempt]:
    return [attempt for pk in sorted(attempts) for attempt in _TO_TELL.objects(attempt=pk)]


def _ended(attempt: int, task: int) -> messages.Frame:
    ended = Attempt.objects.filter(pk=attempt).values_list("outcome", "error").first()
    if ended is not None and ended[0] == Outcome.CANCELLED:
        return messages.TaskCancel(task=task, attempt=attempt, reason=ended[1][:2_000])
    return messages.TaskDrop(task=task, attempt=attempt, reason=ended[0] if ended else "unknown")


def _assignment_or_none(attempt: Attempt) -> messages.TaskAssign | None:
    """None for one that cannot be put into a frame: its lease lapses, and the others are told all the same."""
    try:
        return assignment(attempt)
    except (Refused, ValueError):
        logger.exception("an assignment cannot be told", attempt=attempt.pk)
        return None


def assignment(attempt: Attempt) -> messages.TaskAssign:
    """The whole of what a sidecar needs to know to do this attempt."""
    task = attempt.task
    repo = task.repo
    return messages.TaskAssign(
        task=task.pk,
        attempt=attempt.pk,
        generation=attempt.generation,
        executor=attempt.executor,
        model=attempt.model,
        url=attempt.url,
        max_steps=settings.MODEL_STEPS.get(task.tier, settings.MODEL_STEPS["unknown"]) if attempt.model else 0,
        allowance=_allowance(attempt) if attempt.model else None,
        brief=_brief(task, attempt),
        checks=[nouns.Check(**check) for check in task.checks],
        max_fixes=task.max_fixes,
        timeout_seconds=task.timeout_seconds,
        lease_seconds=settings.LEASES["working"].total_seconds(),
        repo=nouns.RepoRef(slug=repo.slug, path=f"/git/{repo.slug}.git", default_branch=repo.default_branch)
        if repo
        else None,
        start=task.start,
        branch=attempt.branch,
        commit=task.commit,
        base=task.base,
        resume=_left_behind(task, attempt) if attempt.model and attempt.generation > 1 else "",
        guard=task.metadata.get("guard", []),
        identity=nouns.Identity(name=attempt.agent.name, email=f"{attempt.agent.name}@agentcom.invalid"),
    )


def _left_behind(task: Task, attempt: Attempt) -> str:
    """What the last attempt that left something had changed: a model goes on from there, a command begins anew."""
    earlier = Attempt.objects.filter(task=task, pk__lt=attempt.pk).exclude(salvage_commit="").order_by("-pk")
    return earlier.values_list("salvage_commit", flat=True).first() or ""


def _allowance(attempt: Attempt) -> nouns.Allowance | None:
    """What was set aside when it was assigned, with the rates of that day; None where the ledger has no part."""
    found = spending.allowance_of(attempt)
    if found is None:
        return None
    given, bands = found
    return nouns.Allowance(
        microusd=given.micro,
        tokens=given.tokens,
        calls=given.calls,
        rates=[
            nouns.Rate(prompt_over=row.prompt_over, **{name: getattr(row, name) for name in CLASSES}) for row in bands
        ],
    )


def _brief(task: Task, attempt: Attempt) -> nouns.Brief:
    return nouns.Brief(
        title=task.title,
        description=task.description,
        command=task.command,
        success_criteria=task.success_criteria,
        file_hints=[nouns.FileHint(**hint) for hint in task.file_hints],
        previous=_previous(task, attempt) if attempt.generation > 1 else [],
        remarks=[nouns.Remark(**remark) for remark in task.remarks],
    )


def _previous(task: Task, attempt: Attempt) -> list[nouns.Previous]:
    earlier = Attempt.objects.filter(task=task, pk__lt=attempt.pk).order_by("-pk")[:PREVIOUS]
    return [
        nouns.Previous(attempt=one.pk, outcome=one.outcome, error=one.error[:4_000], failed_checks=_failed(one.reports))
        for one in reversed(earlier)
    ]


def _failed(reports: list[Mapping[str, Any]]) -> list[nouns.CheckResult]:
    return [nouns.CheckResult(**check) for check in failing(reports[-1])[:20]] if reports else []
