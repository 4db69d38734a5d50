"""What the hub has to say to one sidecar: read from the database, turned into frames."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from apps.agents.models import Agent, Token
from apps.events.prepared import Prepared
from apps.tasks.by_hand import HAND
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt, Task
from apps.tasks.verdict import failing
from sidecar.wire import messages, nouns

PREVIOUS = 3
"""How many earlier attempts a brief quotes."""


@dataclass
class Told:
    """What this connection has been told: open attempts by id, with their task."""

    pushed: dict[int, int] = field(default_factory=dict)

    def forget(self, attempt: int) -> None:
        self.pushed.pop(attempt, None)


@dataclass(frozen=True)
class News:
    """`frames` to send; `close` is a close code when this connection has to end."""

    frames: tuple[messages.Frame, ...] = ()
    close: int | None = None


def news(agent: int, connection: str, token: int, told: Told) -> News:
    """What changed for `agent` since it was last told. Hearing twice, late or never is fine: it looks at the truth."""
    if not _TOKEN.rows(token=token):
        return News(close=4401)
    if _VOICE.rows(agent=agent) != [(connection,)]:
        return News(close=4409)
    open_now = {pk for (pk,) in _OPEN.rows(agent=agent)}
    over = [pk for pk in told.pushed if pk not in open_now]
    frames: list[messages.Frame] = [_ended(pk, told.pushed.pop(pk)) for pk in over]
    for attempt in _whole(open_now - told.pushed.keys()):
        told.pushed[attempt.pk] = attempt.task_id
        frames.append(assignment(attempt))
    return News(tuple(frames))


def _live_token(token: int) -> QuerySet[Token, Any]:
    return Token.objects.live().filter(pk=token).values_list("pk")


def _voice(agent: int) -> QuerySet[Agent, Any]:
    return Agent.objects.filter(pk=agent, retired_at__isnull=True).values_list("connection")


def _open(agent: int) -> QuerySet[Attempt, Any]:
    return Attempt.objects.open().filter(agent=agent).order_by().values_list("pk")


_TOKEN, _VOICE, _OPEN = Prepared(_live_token, token=int), Prepared(_voice, agent=int), Prepared(_open, agent=int)


def _whole(attempts: Set[int]) -> list[Attempt]:
    """These attempts with all that a frame tells of them; without those that a person has in hand."""
    rows = Attempt.objects.filter(pk__in=attempts).exclude(task__executor=HAND)
    return list(rows.select_related("task__repo", "agent")) if attempts else []


def _ended(attempt: int, task: int) -> messages.Frame:
    ended = Attempt.objects.filter(pk=attempt).values_list("outcome", "error").first()
    if ended is not None and ended[0] == Outcome.CANCELLED:
        return messages.TaskCancel(task=task, attempt=attempt, reason=ended[1][:2_000])
    return messages.TaskDrop(task=task, attempt=attempt, reason=ended[0] if ended else "unknown")


def assignment(attempt: Attempt) -> messages.TaskAssign:
    """The whole of what a sidecar needs to know to do this attempt."""
    task = attempt.task
    repo = task.repo
    return messages.TaskAssign(
        task=task.pk,
        attempt=attempt.pk,
        generation=attempt.generation,
        executor=task.executor,
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
        identity=nouns.Identity(name=attempt.agent.name, email=f"{attempt.agent.name}@agentcom.invalid"),
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
