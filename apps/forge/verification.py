"""The hub's side of proof: the checks are repeated, by another agent if there is one, on what would be merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Refused, Stale
from apps.forge import scrutiny
from apps.forge.landing import landed, record_merged
from apps.forge.lifecycle import PullStatus, VerificationStatus
from apps.forge.models import PullRequest, Verification
from apps.forge.scrutiny import Look
from apps.forge.staleness import outdate, watchers
from apps.repos import merge, mirror
from apps.repos.checks import seconds_for
from apps.repos.findings import tests_before
from apps.repos.merge import Identity
from apps.repos.trusted import git
from apps.tasks.actions import Submission, submit
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt, Lane, Task, Work
from apps.tasks.verdict import failing, summary

HUB = Identity("AgentCom", "hub@agentcom.invalid")
MAX_ATTEMPTS = 2
LONGEST_PATH, MOST_GUARDED = 500, 200
FOUND_IN_BASE = "The base branch holds this work already."


class NothingToCheck(Refused):
    """The task has no checks, so there is nothing to repeat."""


def load(pull: int) -> PullRequest:
    """The pull request with everything that is asked of it together."""
    return PullRequest.objects.select_related("repo", "task", "attempt__agent").get(pk=pull)


def refresh(pull_id: int, *, by: str = "", again: bool = False) -> Verification | None:
    """Look at an open pull request as its head and base are now, and have the checks repeated if nobody did yet.

    Idempotent: a pending or finished verification of the same head and base is returned as it is; a failed one is
    repeated with `again`. None when there is nothing to verify: ended, in conflict, no checks. A pull request whose
    work is in the base already becomes merged. Raises Stale when it changes meanwhile, Refused when git has no answer.
    """
    pull = load(pull_id)
    if pull.is_final or _heal(pull):
        return None
    seen = scrutiny.look(pull.repo, pull.base_branch, pull.head)
    target = _target(pull, seen) if pull.checks and not seen.conflict else None
    with transaction.atomic():
        return _refresh(pull, seen, target, by=by, again=again)


def _heal(pull: PullRequest) -> bool:
    found = landed(pull)
    if found is None:
        return False
    if pull.status == PullStatus.OPEN:
        record_merged(pull, found.commit, note="" if found.ours else FOUND_IN_BASE)
    return True


def _current(pull: PullRequest, seen: Look) -> Verification | None:
    """The verification of exactly this base and head; a stale one stays stale even when the base comes back to it."""
    same = pull.verifications.filter(base=seen.base, head=seen.head)
    return same.exclude(status=VerificationStatus.STALE).first()


def _target(pull: PullRequest, seen: Look) -> tuple[str, str]:
    """The commit to check out and its tree: the head while the base stands still, else their merge, kept by a ref."""
    path = pull.repo.mirror
    if mirror.is_ancestor(path, seen.base, seen.head):
        return seen.head, seen.tree
    known = _current(pull, seen)
    if known is not None:
        return known.commit, known.tree
    merged = merge.prepare(
        path, pull.base_branch, seen.head, method="merge", message=f"Candidate of !{pull.pk}", author=HUB,
        committer=HUB, onto=seen.base,
    )  # fmt: skip
    git(path, "update-ref", f"refs/agentcom/candidate/{pull.pk}", merged.commit)
    return merged.commit, merged.tree


def _refresh(
    pull: PullRequest, seen: Look, target: tuple[str, str] | None, *, by: str, again: bool
) -> Verification | None:
    locked = PullRequest.objects.select_for_update().get(pk=pull.pk)
    if locked.is_final or locked.head != seen.head:
        raise Stale("pull_moved", "The pull request changed in this moment.")
    if mirror.head(pull.repo.mirror, pull.base_branch) != seen.base:  # or an older look would undo a newer one
        raise Stale("base_moved", "The base branch moved in this moment.")
    outdate(pull, base=seen.base, head=seen.head)
    known = _current(pull, seen)
    fields = scrutiny.columns(seen, pull, known)
    PullRequest.objects.filter(pk=pull.pk).update(**fields, merge_note="")
    if target is None or (known and not (again and known.status == VerificationStatus.FAILED)):
        return known
    return _request(pull, seen, target, by)


def _request(pull: PullRequest, seen: Look, target: tuple[str, str], by: str) -> Verification:
    commit, tree = target
    made = Verification.objects.create(
        pull=pull, base=seen.base, head=seen.head, tree=tree, commit=commit, author=pull.attempt.agent
    )
    wanted = Submission(
        title=f"Verify !{pull.pk} {pull.title}"[:200],
        work=Work.VERIFICATION,
        lane=Lane.HIGH,
        repo=pull.repo,
        commit=commit,
        base=seen.base,
        checks=pull.checks,
        capabilities=pull.task.capabilities,
        avoid=pull.attempt.agent,
        metadata={"pull_request": pull.pk, "verification": made.pk, "guard": _guard(seen)},
        max_attempts=MAX_ATTEMPTS,
        timeout_seconds=max(pull.task.timeout_seconds, seconds_for(pull.checks)),
    )
    made.task = submit(wanted, by=by or "forge")[0]
    made.save(update_fields=["task"])
    record(Kind.PULL_VERIFYING, pull, tell=watchers(pull), actor=by, verification=made.pk, task=made.task.pk)
    return made


def _guard(seen: Look) -> list[str]:
    """The tests that the work has changed: the checks are repeated with them as they were, too."""
    return [path for path in tests_before(seen.facts) if len(path) <= LONGEST_PATH][:MOST_GUARDED]


def verify(pull: PullRequest, *, by: str) -> Verification:
    """A person asks for the checks to be repeated. Refused when there are none, or when they could not run."""
    if pull.is_final:
        raise Refused("not_open", f"The pull request is {pull.status} already.")
    if not pull.checks:
        raise NothingToCheck("nothing_to_check")
    asked = refresh(pull.pk, by=by, again=True)
    if asked is None:
        raise Refused("conflict", "The work does not merge with its base as it is, so there is no tree to check.")
    return asked


def take_report(task: Task) -> None:
    """The checks were repeated: hold the report against what was asked, and say whether it proves the pull request."""
    verification = _pending(task)
    attempt = Attempt.objects.filter(task=task, outcome=Outcome.SUCCEEDED).order_by("-pk").first()
    if verification is None or attempt is None:
        return
    report = attempt.reports[-1] if attempt.reports else {}
    note = shortcoming(report, task.checks, commit=verification.commit, tree=verification.tree)
    _conclude(verification, note, report=report, verifier=attempt.agent)


def give_up(task: Task) -> None:
    """No agent could repeat the checks; that proves nothing, so it counts as failed."""
    verification = _pending(task)
    if verification is not None:
        _conclude(verification, f"No agent could run the checks: {task.last_error or task.status}")


def _pending(task: Task) -> Verification | None:
    rows = Verification.objects.filter(task=task, status=VerificationStatus.PENDING)
    return rows.select_related("pull__repo", "pull__task").first()


def shortcoming(report: Mapping[str, Any], checks: list[Mapping[str, Any]], *, commit: str, tree: str) -> str:
    """Why the report does not prove that `checks` pass on `commit` with `tree`; empty when it does. Pure."""
    if not report:
        return "There is no report."
    if report.get("commit") != commit or report.get("tree") != tree:
        return "The report is about another commit or tree than the one asked for."
    if failed := failing(report):
        return summary(failed)
    if report.get("status") != "pass" or len(report.get("checks", ())) < len(checks):
        return "The report does not say that every check passed."
    return ""


def _conclude(verification: Verification, note: str, **found: Any) -> None:
    pull = verification.pull
    passed = not note
    status = VerificationStatus.PASSED if passed else VerificationStatus.FAILED
    with transaction.atomic():
        transition(
            verification, status, Kind.PULL_VERIFIED if passed else Kind.PULL_REFUTED,
            set={"ended_at": Now(), "note": note[:500], **found}, tell=watchers(pull), pull=pull.pk, note=note[:500],
        )  # fmt: skip
    reassess(pull.pk)


def reassess(pull_id: int) -> None:
    """The risk, now that more is known of the checks. The base may have moved; then the refresh of that does it."""
    pull = load(pull_id)
    if pull.is_final or landed(pull):
        return
    seen = scrutiny.look(pull.repo, pull.base_branch, pull.head)
    fields = scrutiny.columns(seen, pull, scrutiny.latest_of(pull, seen))
    PullRequest.objects.filter(pk=pull.pk, head=seen.head, base=seen.base).update(**fields)
