"""Why a pull request can be believed: what was asked, what was done, what was checked by whom, and how to repeat it.

Plain data for pages and the API; evidence_text.py writes it as Markdown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q

from apps.forge.mergeable import is_stale, objection
from apps.forge.merging import latest, standing
from apps.forge.models import PullRequest, Verification
from apps.repos.trusted import without_passwords
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt, Work
from apps.tasks.verdict import name_of

COMMAND = "command_succeeds"


@dataclass(frozen=True)
class CheckEvidence:
    """One check: how it ended when it first ran, on the work as pushed, and on the clean checkout; empty if never."""

    name: str
    command: str
    first: str
    last: str
    verified: str
    duration_ms: int


@dataclass(frozen=True)
class AttemptEvidence:
    """One try, by whom, and what came of it."""

    id: int
    task: int
    agent: str
    outcome: str
    error: str
    duration_ms: int


@dataclass(frozen=True)
class PartEvidence:
    """What a goal's pull request is made of: by whom, and how the checks ended where it was merged. Micro-USD.

    `attempts` and cost are of all that was tried for it, also of what did not come in; `commit` is the merge.
    """

    task: int
    title: str
    agent: str
    model: str
    attempts: int
    passed: int
    checks: int
    cost_microusd: int
    commit: str


@dataclass(frozen=True)
class VerificationEvidence:
    """Who repeated the checks on what. `independent`: by another agent than the author. `stale`: of another tree."""

    status: str
    verifier: str
    independent: bool
    stale: bool
    sandbox: str
    commit: str
    tree: str
    base: str
    task: int | None
    note: str


@dataclass(frozen=True)
class Evidence:
    """All of it. Cost in micro-USD, durations in milliseconds; `summary` is the sentence to read first."""

    pull: int
    title: str
    task: int
    goal: str
    success_criteria: Sequence[str]
    agent: str
    executor: str
    model: str
    tokens: Mapping[str, int]
    cost_microusd: int
    attempts: Sequence[AttemptEvidence]
    parts: Sequence[PartEvidence]
    judgement: Mapping[str, Any]
    checks: Sequence[CheckEvidence]
    verification: VerificationEvidence | None
    summary: str
    sandbox: str
    risk: int
    risk_reasons: Sequence[Mapping[str, str]]
    files: int
    added: int
    deleted: int
    base_branch: str
    base: str
    head: str
    tree: str
    log_digest: str
    reproduce: str
    mergeable: bool
    obstacle: str


def evidence_of(pull: PullRequest) -> Evidence:
    """Everything there is on `pull`, as things stand now."""
    at = standing(pull)
    proven = latest(pull)
    why = objection(at)
    tries = _tries(pull)
    last = pull.attempt
    verified = _verified(proven, stale=is_stale(at)) if proven else None
    reports = [report for one in tries for report in one.reports]
    return Evidence(
        pull=pull.pk,
        title=pull.title,
        task=pull.task_id,
        goal=pull.description,
        success_criteria=list(pull.success_criteria),
        agent=last.agent.name,
        executor=str(last.result.get("executor") or pull.task.executor),
        model=str(last.result.get("model", "")),
        tokens=_tokens(tries),
        cost_microusd=sum(int(one.result.get("cost_microusd", 0)) for one in tries),
        attempts=[_attempt(one) for one in tries],
        parts=_parts(pull, tries),
        judgement=pull.judgement,
        checks=_checks(pull.checks, reports, proven.report if proven else {}),
        verification=verified,
        summary=_summary(bool(pull.checks), verified),
        sandbox=str(reports[-1].get("sandbox", "")) if reports else "",
        risk=pull.risk,
        risk_reasons=list(pull.risk_reasons),
        files=pull.stats.get("files", 0),
        added=pull.stats.get("added", 0),
        deleted=pull.stats.get("deleted", 0),
        base_branch=pull.base_branch,
        base=pull.base,
        head=pull.head,
        tree=pull.tree,
        log_digest=hashlib.sha256(str(last.result.get("output", "")).encode("utf-8", "replace")).hexdigest(),
        reproduce=reproduce(pull, proven),
        mergeable=why is None,
        obstacle=why.sentence if why else "",
    )


def _tries(pull: PullRequest) -> list[Attempt]:
    """Every attempt at the task and its follow-ups, up to the one whose work this is."""
    rows = Attempt.objects.filter(task__work=Work.CHANGE, pk__lte=pull.attempt_id).exclude(outcome=Outcome.OPEN)
    whose = Q(task=pull.task_id) if pull.goal is None else Q(task__goal=pull.goal)
    own = rows.filter(whose | Q(task__metadata__pull_request=pull.pk))
    return list(own.select_related("agent", "task").order_by("pk"))


def parts_of(pull: PullRequest) -> list[PartEvidence]:
    """What a goal's pull request is made of; nothing for any other."""
    return _parts(pull, _tries(pull)) if pull.goal is not None else []


def _parts(pull: PullRequest, tries: Sequence[Attempt]) -> list[PartEvidence]:
    """Each slice of the goal as it was merged, in that order, and what people asked for afterwards."""
    if pull.goal is None:
        return []
    by_id = {one.pk: one for one in tries}
    slices = [
        _part(
            by_id[known["attempt"]], [one for one in tries if one.task.metadata.get("slice") == known["slice"]], known
        )
        for known in pull.parts
        if known["attempt"] in by_id
    ]
    later = [one for one in tries if one.outcome == Outcome.SUCCEEDED and "pull_request" in one.task.metadata]
    return slices + [
        _part(done, [one for one in tries if one.task_id == done.task_id], _reported(done)) for done in later
    ]


def _reported(done: Attempt) -> Mapping[str, Any]:
    """Of work that came in without a merge of its own: what its author reported."""
    ran = done.reports[-1].get("checks", ()) if done.reports else ()
    passed = sum(check.get("status") == "pass" for check in ran)
    return {"passed": passed, "checks": len(ran), "commit": str(done.result.get("commit", ""))}


def _part(done: Attempt, tries: Sequence[Attempt], known: Mapping[str, Any]) -> PartEvidence:
    return PartEvidence(
        task=done.task_id,
        title=done.task.title,
        agent=done.agent.name,
        model=str(done.result.get("model", "")),
        attempts=len(tries),
        passed=known["passed"],
        checks=known["checks"],
        cost_microusd=sum(int(one.result.get("cost_microusd", 0)) for one in tries),
        commit=known["commit"],
    )


def _attempt(one: Attempt) -> AttemptEvidence:
    return AttemptEvidence(
        id=one.pk,
        task=one.task_id,
        agent=one.agent.name,
        outcome=one.outcome,
        error=one.error[:500],
        duration_ms=int(one.result.get("duration_ms", 0)),
    )


def _tokens(tries: Iterable[Attempt]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in tries:
        for kind, count in one.result.get("tokens", {}).items():
            total[kind] = total.get(kind, 0) + int(count)
    return total


def _checks(
    asked: Iterable[Mapping[str, Any]], reports: Sequence[Mapping[str, Any]], verified: Mapping[str, Any]
) -> list[CheckEvidence]:
    first, last = (reports[0], reports[-1]) if reports else ({}, {})
    return [
        CheckEvidence(
            name=name_of(check),
            command=check.get("target", "") if check.get("type") == COMMAND else "",
            first=str(_ran(first, check).get("status", "")),
            last=str(_ran(last, check).get("status", "")),
            verified=str(_ran(verified, check).get("status", "")),
            duration_ms=int(_ran(last, check).get("duration_ms", 0)),
        )
        for check in asked
    ]


def _ran(report: Mapping[str, Any], check: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = (check.get("type"), check.get("target", ""))
    return next((one for one in report.get("checks", ()) if (one.get("type"), one.get("target", "")) == wanted), {})


def _verified(proven: Verification, *, stale: bool) -> VerificationEvidence:
    return VerificationEvidence(
        status=proven.status,
        verifier=proven.verifier.name if proven.verifier else "",
        independent=proven.verifier_id is not None and proven.verifier_id != proven.author_id,
        stale=stale,
        sandbox=str(proven.report.get("sandbox", "")),
        commit=proven.commit,
        tree=proven.tree,
        base=proven.base,
        task=proven.task_id,
        note=proven.note,
    )


def _summary(has_checks: bool, verified: VerificationEvidence | None) -> str:
    if not has_checks:
        return "Unverified: the task has no checks."
    if verified is None:
        return "Unverified: the checks have not been repeated yet."
    if verified.stale:
        return "Stale: the branch or its base moved since the checks were repeated."
    if verified.status == "pending":
        return "The checks are being repeated on a clean checkout."
    who = (
        f"by {verified.verifier}" if verified.independent else f"by its author {verified.verifier} in a fresh checkout"
    )
    if verified.status == "passed":
        return f"Verified {who}: every check passed on exactly this tree."
    return f"Refuted {who}." if verified.verifier else "Unverified: no agent could repeat the checks."


def reproduce(pull: PullRequest, proven: Verification | None, hub: str = "") -> str:
    """The lines to type in a clone, to see the same result: fetch (with a reading token), check out, run the checks."""
    commit = proven.commit if proven else pull.head
    merged = commit != pull.head
    ref = f"refs/agentcom/candidate/{pull.pk}" if merged else f"refs/heads/{pull.branch}"
    hub = without_passwords((hub or settings.BASE_URL).rstrip("/")) or "http://HUB"
    lines = [f"git fetch {hub}/git/{pull.repo.slug}.git {ref}", f"git checkout --detach {commit}"]
    lines += [_command(check) for check in pull.checks]
    return "\n".join(lines)


def _command(check: Mapping[str, Any]) -> str:
    if check.get("type") == COMMAND:
        return str(check.get("target", ""))
    return f"# {' '.join(name_of(check).split())}"
