"""Looking at the head of a default branch: begun once for each head, ended by what an agent reports of its checks."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Stale
from apps.forge.verification import shortcoming
from apps.goals import own
from apps.insight import faults, fixing, markers
from apps.insight.lifecycle import PAUSED, CheckupStatus
from apps.insight.models import Checkup
from apps.repos import mirror
from apps.repos.checks import seconds_for
from apps.repos.models import Repo
from apps.tasks import actions as tasks
from apps.tasks.actions import OURS, Submission, submit
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt, Lane, Task, Work
from apps.tasks.verdict import summary

TELL = ("dashboard",)
BY = "checkup"
MAX_ATTEMPTS = 2
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=10), timedelta(days=1)
"""Before a head that nobody could judge is looked at again; each time in vain doubles it."""
KINDS = {
    CheckupStatus.PASSED: Kind.CHECKUP_PASSED,
    CheckupStatus.FAILED: Kind.CHECKUP_FAILED,
    CheckupStatus.ERROR: Kind.CHECKUP_UNCLEAR,
}


def wait(vain: int) -> timedelta:
    """How long a head rests that could not be judged `vain` times in a row."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(vain - 1, 16)) if vain else timedelta(0)


def unexamined(repo: Repo, *, now: datetime | None = None) -> str:
    """The head of its default branch when it is to be looked at now; else empty. Raises GitFailed.

    Nobody has looked at it yet, or nobody could say, and it has rested for as long as it should.
    """
    head = mirror.head(repo.mirror, repo.default_branch) if mirror.exists(repo.mirror) else None
    if head is None or Checkup.objects.filter(repo=repo, status=CheckupStatus.PENDING).exists():
        return ""
    known = Checkup.objects.filter(repo=repo, basis=_basis(repo, head))
    if known.exclude(status=CheckupStatus.ERROR).exists():
        return ""
    ends = known.exclude(note=PAUSED).values_list("ended_at", flat=True)
    vain = [ended for ended in ends if ended is not None]
    rests = bool(vain) and (now or timezone.now()) < max(vain) + wait(len(vain))
    return "" if rests else head


def _basis(repo: Repo, head: str) -> str:
    asked = hashlib.sha256(json.dumps(repo.checks, sort_keys=True).encode()).hexdigest()
    return f"{head[:64]}.{asked[:16]}"


def begin(repo: Repo) -> Checkup | None:
    """Look at the head now, if nobody did: for marks of a merge at once, and have an agent run the checks.

    Where marks were left, the checks would only say so again; they are not run. Raises GitFailed.
    """
    head = unexamined(repo)
    if not head:
        return None
    left = faults.of_markers([(one.path, one.line) for one in markers.find(repo.mirror, head)])
    try:
        with transaction.atomic():
            return _begin(repo, head, left)
    except IntegrityError:  # somebody else looks at it
        return None


def _begin(repo: Repo, head: str, left: list[dict[str, Any]]) -> Checkup:
    made = Checkup.objects.create(repo=repo, commit=head, basis=_basis(repo, head), status=CheckupStatus.PENDING)
    if not left and repo.checks:
        made.task = submit(_wanted(made), by=BY)[0]
        made.save(update_fields=["task"])
    record(Kind.CHECKUP_BEGUN, made, tell=TELL, repo=repo.slug, commit=head, task=made.task_id)
    if left:
        _end(made, CheckupStatus.FAILED, faults=left, note="Marks of a merge were left in it.")
    elif made.task is None:
        _end(made, CheckupStatus.PASSED)
    return made


def _wanted(checkup: Checkup) -> Submission:
    repo = checkup.repo
    return Submission(
        title=f"Check {repo.default_branch} of {repo.slug} at {checkup.commit[:12]}"[:200],
        work=Work.VERIFICATION,
        lane=Lane.HIGH,
        repo=repo,
        commit=checkup.commit,
        checks=repo.checks,
        metadata={"checkup": checkup.pk},
        max_attempts=MAX_ATTEMPTS,
        timeout_seconds=seconds_for(repo.checks),
        idempotency_key=f"{OURS}checkup-{checkup.pk}",
    )


def take_report(task: Task) -> Checkup | None:
    """The checks were run: the checkup that this ended, None when it was none or has ended. Raises GitFailed."""
    checkup = _pending(task)
    attempt = Attempt.objects.filter(task=task, outcome=Outcome.SUCCEEDED).order_by("-pk").first()
    if checkup is None or attempt is None:
        return None
    report = attempt.reports[-1] if attempt.reports else {}
    tree = mirror.tree_of(checkup.repo.mirror, checkup.commit)
    note = shortcoming(report, task.checks, commit=checkup.commit, tree=tree)
    # a check that could not be run says nothing about the branch
    failed = [check for check in report.get("checks", ()) if check.get("status") in {"fail", "timeout"}]
    about = report.get("commit") == checkup.commit and report.get("tree") == tree
    if not note:
        return _conclude(checkup, CheckupStatus.PASSED, report=report)
    if about and failed:
        found = faults.of_checks(failed)
        return _conclude(checkup, CheckupStatus.FAILED, report=report, faults=found, note=summary(failed)[:500])
    return _conclude(checkup, CheckupStatus.ERROR, report=report, note=note[:500])


def give_up(task: Task) -> Checkup | None:
    """No agent could run the checks, or somebody cancelled them; that says nothing about the branch."""
    checkup = _pending(task)
    if checkup is None:
        return None
    note = f"No agent could run the checks: {task.last_error or task.status}"
    return _conclude(checkup, CheckupStatus.ERROR, note=note[:500])


def withdraw() -> int:
    """Take back what no agent has begun, since the hub is paused; how many. Their heads have their turn later."""
    waiting = Checkup.objects.filter(status=CheckupStatus.PENDING, task__status__in=own.UNBEGUN)
    return sum(map(_withdraw, waiting.values_list("pk", flat=True)))


@transaction.atomic
def _withdraw(pk: int) -> int:
    checkup = Checkup.objects.select_related("repo").get(pk=pk)
    task = own.unbegun(checkup.task_id)
    if task is None or _conclude(checkup, CheckupStatus.ERROR, note=PAUSED) is None:
        return 0
    tasks.cancel(task, by=BY, reason=PAUSED)
    return 1


def _pending(task: Task) -> Checkup | None:
    return Checkup.objects.select_related("repo").filter(task=task, status=CheckupStatus.PENDING).first()


def _conclude(checkup: Checkup, status: CheckupStatus, **found: Any) -> Checkup | None:
    try:
        with transaction.atomic():
            _end(checkup, status, **found)
    except Stale:  # the report came in twice
        return None
    return checkup


def _end(checkup: Checkup, status: CheckupStatus, **found: Any) -> None:
    fixing.link(checkup.repo, found.get("faults", ()))
    facts = {"repo": checkup.repo.slug, "commit": checkup.commit, "note": found.get("note", "")}
    transition(checkup, status, KINDS[status], set={"ended_at": Now(), **found}, tell=TELL, **facts)
