"""What happens to an attempt: assigned, accepted, renewed, ended. Every verb checks the fence in its first statement.

The fence is task, attempt and agent together, in the WHERE. Whoever is too late changes nothing and gets Stale.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from apps.agents.models import Agent
from apps.endpoints.models import Endpoint
from apps.events import statements
from apps.events.clock import FromNow
from apps.events.kinds import Kind
from apps.events.log import hint, record, transition
from apps.events.prepared import PreparedObjects
from apps.events.refused import Stale
from apps.ledger.accounts import Exhausted
from apps.ledger.pauses import Paused
from apps.ledger.pricing import Unpriced
from apps.repos.models import Repo
from apps.tasks import dependencies, fallback, queue, retry, spending, wake
from apps.tasks.branches import branch_for
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.matching import Pair
from apps.tasks.models import Attempt, ProgressBatch, Task, Trajectory, Work
from apps.tasks.verdict import judge, summary

DASHBOARD = "dashboard"
NOW = Now()
_FIRST_ACCEPTED = Coalesce("accepted_at", NOW)
LOST = ("sidecar_restarted", "lease_lost", "sandbox_missing", "journal")
"""Codes of a release that means: the work was lost with me, or cannot be done on me. They count as reclaims, or a task
that brings its host down, or a host that hands everything back, would go on for ever."""


@dataclass(frozen=True)
class Fence:
    """Who speaks of what. All three must be true of one open attempt, or nothing happens."""

    task: int
    attempt: int
    agent: int

    def close(self, outcome: Outcome, **facts: Any) -> None:
        """End the attempt; raises Stale when it is not open, or not this agent's, or not of this task."""
        self._write(outcome=outcome, ended_at=NOW, **facts)

    def renew(self, stage: str, **facts: Any) -> None:
        """Keep the attempt's lease alive for another turn of `stage`; raises Stale as `close` does."""
        self._write(lease_until=_in(settings.LEASES[stage]), **facts)

    def _write(self, **values: Any) -> None:
        mine = {"pk": self.attempt, "task": self.task, "agent": self.agent, "ended_at__isnull": True}
        if not statements.update(Attempt, mine, values):
            raise Stale("attempt_over", "This attempt is not open any more.")


@cache
def _in(length: timedelta) -> FromNow:
    """So long from now, by the database's clock. One expression for each length, so that its SQL is built once."""
    return FromNow(length)


def watchers(task: int, agent: int | None = None) -> list[str]:
    """The channel groups to hint to when `task`, held by `agent`, changed."""
    return [DASHBOARD, f"task.{task}", *([f"agent.{agent}"] if agent is not None else [])]


def assign(pair: Pair) -> int:
    """Give the task to the agent: the id of its attempt, or Stale and nothing happened."""
    try:
        with transaction.atomic():
            return _assign(pair)
    except IntegrityError as taken:
        if "unique" not in str(taken).lower():  # anything else is a mistake of ours, not a lost race
            raise
        raise Stale("agent_taken", "The agent got another task in this moment.") from taken
    except (Exhausted, Paused, Unpriced) as refused:
        assert pair.offer
        fallback.unaffordable(pair.head.task, pair.head.generation, pair.offer.grade, refused)
        raise Stale("unaffordable", refused.message) from refused


def _assign(pair: Pair) -> int:
    task = _TO_ASSIGN.first(task=pair.head.task)
    if task is None:
        raise Stale("task_gone", "The task is not there any more.")
    if task.repo is not None:
        _check_room(task.repo)
    transition(
        task,
        TaskStatus.ASSIGNED,
        Kind.TASK_ASSIGNED,
        set={"demand": None, "not_before": None, "generation": pair.head.generation + 1},
        where={"generation": pair.head.generation, "demand__isnull": False},
        tell=watchers(task.pk, pair.worker.id),
        agent=pair.worker.name,
        generation=pair.head.generation + 1,
    )
    place = pair.offer.place if pair.offer else None
    if place and not statements.update(Endpoint, {"pk": place.id, "draining": False}, {"last_used_at": NOW}):
        raise Stale("endpoint_gone", "The endpoint was removed or drained in this moment.")
    branch = branch_for(task, pair.worker.name, task.generation) if task.repo_id and task.work == Work.CHANGE else ""
    attempt = statements.insert(
        Attempt,
        {
            "task": task.pk,
            "agent": pair.worker.id,
            "repo": task.repo_id,
            "generation": task.generation,
            "lease_until": _in(settings.LEASES["assigned"]),
            "branch": branch,
            "executor": pair.offer.executor if pair.offer else pair.head.need.executor,
            "model": pair.offer.model if pair.offer else "",
            "grade": pair.offer.grade if pair.offer else "",
            "endpoint": place.id if place else None,
            "url": pair.offer.url if pair.offer else "",
            "decision": _decision(pair),
        },
    )
    statements.update(Agent, {"pk": pair.worker.id}, {"last_assigned_at": NOW})
    if pair.offer:
        spending.grant(task, attempt, pair.worker.name, pair.offer)
    return attempt


_OF_ITS_REPO = ("repo__slug", "repo__max_running", "repo__paused")
_TO_ASSIGN = PreparedObjects(
    lambda task: (
        Task.objects.filter(pk=task)
        .select_related("repo")
        .only("title", "branch", "work", "generation", "status", "goal", "metadata", *_OF_ITS_REPO)
    ),
    task=int,
)


def _check_room(repo: Repo) -> None:
    """Hold the repository's row while counting, so that two matchers cannot both see the last free place."""
    if repo.max_running is None and not repo.paused:
        return
    # no_key: inserting a task or an attempt of this repository needs the key only, and must not wait in a circle
    locked = Repo.objects.select_for_update(no_key=True).get(pk=repo.pk)
    running = Attempt.objects.open().filter(repo=repo).count()
    if locked.paused or (locked.max_running is not None and running >= locked.max_running):
        raise Stale("repo_full", "The repository takes no more work right now.")


def _decision(pair: Pair) -> dict[str, Any]:
    return {
        "executor": pair.offer.executor if pair.offer else pair.head.need.executor,
        **({"model": pair.offer.model, "grade": pair.offer.grade} if pair.offer else {}),
        **({"endpoint": pair.offer.place.name} if pair.offer and pair.offer.place else {}),
        "agent": pair.worker.name,
        "reasons": list(pair.reasons),
        "losers": [{"agent": name, "reason": reason} for name, reason in pair.losers],
        "more_losers": pair.more_losers,
    }


@transaction.atomic
def accept(fence: Fence) -> None:
    """The agent has the work in its journal; from here heartbeats and progress keep the lease alive."""
    fence.renew("working", accepted_at=_FIRST_ACCEPTED)
    first = {"status": TaskStatus.ASSIGNED}  # not when it is told again after a reconnect, nor out of blocked
    with contextlib.suppress(Stale):
        transition(
            _unread(fence),
            TaskStatus.WORKING,
            Kind.TASK_ACCEPTED,
            where=first,
            tell=watchers(fence.task),
            attempt=fence.attempt,
        )


def renew(fence: Fence) -> None:
    """A heartbeat: the agent still works on it."""
    fence.renew("working")


@transaction.atomic
def progress(fence: Fence, seq: int, steps: Sequence[Mapping[str, Any]]) -> None:
    """Live steps; they renew the lease. A batch that comes twice is kept once."""
    fence.renew("working")
    ProgressBatch.objects.bulk_create(
        [ProgressBatch(attempt_id=fence.attempt, seq=seq, steps=list(steps))], ignore_conflicts=True
    )
    hint(f"task.{fence.task}")


@transaction.atomic
def block(fence: Fence, reason: str) -> None:
    """The agent waits for something outside its reach. Said again, it changes the reason only."""
    accept(fence)  # as it was, if the acceptance was lost on the way
    fence.renew("blocked", blocked_reason=reason)
    if not Task.objects.filter(pk=fence.task, status=TaskStatus.BLOCKED).exists():
        tell = watchers(fence.task)
        transition(_unread(fence), TaskStatus.BLOCKED, Kind.TASK_BLOCKED, tell=tell, reason=reason)


@transaction.atomic
def unblock(fence: Fence) -> None:
    """The agent goes on. Said again, or without a block, it is a heartbeat."""
    accept(fence)
    fence.renew("working", blocked_reason="")
    if Task.objects.filter(pk=fence.task, status=TaskStatus.BLOCKED).exists():
        tell = watchers(fence.task)
        transition(_unread(fence), TaskStatus.WORKING, Kind.TASK_UNBLOCKED, tell=tell)


@transaction.atomic
def complete(fence: Fence, result: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]) -> Outcome:
    """The agent says it is done. Completed if its report bears that out; otherwise the attempt did not succeed."""
    task = _task(fence, _TO_JUDGE)
    verdict = judge(
        task.checks,
        reports,
        changes_repo=task.repo_id is not None,
        commit=str(result.get("commit", "")),
        verifies=task.commit if task.work == Work.VERIFICATION else "",
    )
    kept, steps = _apart(result)
    fence.close(verdict.outcome, result=kept, reports=list(reports), error_code=verdict.code, error=verdict.message)
    _keep(fence, steps)
    if verdict.outcome is not Outcome.SUCCEEDED:
        _after(_task(fence), fence, verdict.outcome, verdict.message)
        spending.release(fence.attempt)
        return verdict.outcome
    transition(
        task,
        TaskStatus.COMPLETED,
        Kind.TASK_COMPLETED,
        set={"finished_at": NOW, "last_error": "", "stranded": False},
        tell=watchers(task.pk),
        attempt=fence.attempt,
        repo=task.repo_id,
        goal=task.goal,
        verification=task.work == Work.VERIFICATION,
    )
    dependencies.release(task)
    wake.match_after_commit()
    spending.release(fence.attempt)
    return Outcome.SUCCEEDED


@transaction.atomic
def fail(
    fence: Fence,
    code: str,
    message: str,
    result: Mapping[str, Any] | None = None,
    reports: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """The agent says it could not. With a report that did not pass, the work was done but unverified."""
    unverified = bool(reports) and reports[-1].get("status") != "pass"
    outcome = Outcome.UNVERIFIED if unverified else Outcome.FAILED
    blame = str((result or {}).get("blame", ""))
    if blame == "infrastructure":  # nobody could have done it just now; what the checks found is of half a work
        outcome, unverified = Outcome.RELEASED, False
    if unverified and not message:
        message = summary([c for c in reports[-1].get("checks", ()) if c.get("status") != "pass"])
    kept, steps = _apart(result or {})
    fence.close(outcome, result=kept, reports=list(reports), error_code=code, error=message)
    _keep(fence, steps)
    _after(_task(fence), fence, outcome, message or code, blame=blame)
    spending.release(fence.attempt)
    return outcome


def _apart(result: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The result as it is kept with the attempt, and a model's steps, which are many and are kept beside it."""
    return {name: value for name, value in result.items() if name != "trajectory"}, result.get("trajectory") or []


def _keep(fence: Fence, steps: list[Any]) -> None:
    if steps:
        Trajectory.objects.create(attempt_id=fence.attempt, steps=steps)


@transaction.atomic
def release(fence: Fence, code: str, message: str) -> Outcome:
    """The agent hands it back unfinished, through no fault of the task, or tells that it lost it: a reclaim."""
    outcome = Outcome.RECLAIMED if code in LOST else Outcome.RELEASED
    fence.close(outcome, error_code=code, error=message)
    _after(_task(fence), fence, outcome, message or code)
    spending.release(fence.attempt)
    return outcome


@transaction.atomic
def reclaim(fence: Fence, reason: str, *, only_lapsed: bool = True) -> None:
    """Take the task back from an agent that fell silent, or that says it knows nothing of it."""
    rows = Attempt.objects.open().filter(pk=fence.attempt, task=fence.task, agent=fence.agent)
    if only_lapsed:  # it may have been renewed since it was found
        rows = rows.filter(lease_until__lte=Now())
    if not rows.update(outcome=Outcome.RECLAIMED, ended_at=Now(), error_code="lease_lapsed", error=reason):
        raise Stale("attempt_over", "This attempt is not open any more.")
    _after(_task(fence), fence, Outcome.RECLAIMED, reason)


def _unread(fence: Fence) -> Task:
    """The task that `fence` names, without a look at the database; only to move it."""
    return Task.from_db(None, ["id"], [fence.task])


_TASK = PreparedObjects(lambda task: Task.objects.filter(pk=task), task=int)
_TO_JUDGE = PreparedObjects(
    lambda task: Task.objects.filter(pk=task).only("status", "checks", "repo", "work", "commit", "goal"), task=int
)


def _task(fence: Fence, query: PreparedObjects[Task] = _TASK) -> Task:
    """The task that `fence` names; raises Stale when there is none, whatever the frame says."""
    if task := query.first(task=fence.task):
        return task
    raise Stale("attempt_over", "This attempt is not open any more.")


def _after(task: Task, fence: Fence, outcome: Outcome, error: str, *, blame: str = "") -> None:
    """Queue the task again or bury it, as its tally allows; in the transaction that ended the attempt."""
    tally = retry.Tally(task.failures, task.max_attempts, task.reclaims, settings.MAX_RECLAIMS)
    pause = settings.MODEL_PAUSE if blame == "infrastructure" else None
    longest = settings.RETRY_BACKOFF_MAX
    then = retry.after(outcome, tally, backoff=settings.RETRY_BACKOFF, longest=longest, pause=pause)
    counts: dict[str, Any] = {"failures": then.failures, "reclaims": then.reclaims, "last_error": error[:10_000]}
    counts |= fallback.after_failure(task, fence.attempt, outcome)
    facts: dict[str, Any] = {"attempt": fence.attempt, "outcome": outcome.value, "error": error[:500]}
    tell = watchers(task.pk, fence.agent)
    if then.bury:
        wake.match_after_commit()
        bury(task, f"{then.reason}: {error}"[:500], also=counts, **facts)
        return
    kinds = {Outcome.RECLAIMED: Kind.TASK_RECLAIMED, Outcome.RELEASED: Kind.TASK_RELEASED}
    if then.wait:  # out of every demand until its wait is over; the sweep puts it back in line, where it had stood
        place: dict[str, Any] = {"demand": None, "not_before": _in(then.wait)}
    else:
        place = {"demand_id": queue.demand_of(task), "not_before": None}
    wake.match_after_commit()
    transition(
        task, TaskStatus.QUEUED, kinds.get(outcome, Kind.TASK_RETRIED), set={**counts, **place}, tell=tell, **facts
    )


def bury(
    task: Task,
    reason: str,
    *,
    also: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
    **facts: Any,
) -> None:
    """Into the dead letter, whole; whoever depends on it is stranded. Call inside a transaction.

    `also` is written in the same statement, `where` narrows it further; raises Stale as `transition` does.
    """
    changes = {**(also or {}), "finished_at": NOW, "demand": None, "not_before": None}
    tell = [*watchers(task.pk), "needs-you"]
    forge = bool(task.metadata.get("pull_request"))
    facts |= {"reason": reason, "forge": forge, "goal": task.goal, "checkup": task.metadata.get("checkup")}
    transition(task, TaskStatus.DEAD, Kind.TASK_BURIED, set=changes, where=where, tell=tell, **facts)
    dependencies.strand(task)


def settled(fence: Fence) -> Outcome | None:
    """What an earlier copy of a terminal report came to, or None when this attempt did not end by the agent's word."""
    own = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNVERIFIED, Outcome.RELEASED)
    reported = Q(outcome__in=own) | Q(outcome=Outcome.RECLAIMED, error_code__in=LOST)
    rows = Attempt.objects.filter(reported, pk=fence.attempt, task=fence.task, agent=fence.agent)
    found = rows.values_list("outcome", flat=True).first()
    return Outcome(found) if found else None


def salvaged(attempt: Attempt, ref: str, commit: str) -> None:
    """What the attempt left in its work tree is saved on `ref`; remembered once per commit."""
    with transaction.atomic():
        changed = Attempt.objects.filter(pk=attempt.pk).exclude(salvage_commit=commit)
        if changed.update(salvage_ref=ref, salvage_commit=commit):
            record(Kind.TASK_SALVAGED, attempt.task, tell=watchers(attempt.task_id), attempt=attempt.pk, commit=commit)
