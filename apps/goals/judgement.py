"""Whether a goal is reached: a model goes through its criteria with the real difference before it.

What is missing becomes slices of its own, a few times; then, or when nothing usable is said, a person has to look. What
is reached becomes one pull request, in the commit that ends the goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import transition
from apps.forge import opening
from apps.forge.opening import Whole
from apps.goals import claims, evidence, judging, merging, progress, prompts
from apps.goals.actions import watchers
from apps.goals.answers import Fault
from apps.goals.claims import Claim
from apps.goals.course import Following
from apps.goals.judging import Verdict
from apps.goals.lifecycle import GoalStatus, MergeStatus
from apps.goals.models import Goal, Merge, Slice
from apps.goals.planning import aim_of, ask, keep, question, room
from apps.goals.standing import following
from apps.repos import mirror
from apps.tasks.lifecycle import Outcome

PURPOSE = "judge"
MOST_HINTS = 100
"""Of all slices together: more do not fit into the brief of a follow-up task."""


def judge(goal: int) -> None:
    """Judge a goal whose work is all merged, unless somebody does already. Twice is once."""
    claim = claims.take(goal, GoalStatus.VERIFYING)
    if claim is None:
        return
    with claims.answering(claim):
        if _is_behind(claim.goal):
            _follow_first(claim)
            return
        head = mirror.head(claim.goal.repo.mirror, claim.goal.branch) or ""
        verdict = _known(claim.goal, head) or _ask(claim, head)
        if verdict.passed:
            _complete(claim)
        else:
            _continue(claim, verdict)


def _is_behind(goal: Goal) -> bool:
    return following(goal, list(goal.merges.all())) is not Following.UP_TO_DATE


@transaction.atomic
def _follow_first(claim: Claim) -> None:
    goal = claim.held()
    changes = {"claim_until": None}
    why = f"{goal.repo.default_branch} has moved."
    transition(goal, GoalStatus.EXECUTING, Kind.GOAL_CONTINUED, set=changes, tell=watchers(goal), reason=why)


def _known(goal: Goal, head: str) -> Verdict | None:
    """The verdict on exactly this head, when it was found before and only the pull request was still to be made."""
    said = goal.judgement
    if said.get("head") != head or said.get("verdict") != "pass":
        return None
    return Verdict(passed=True, reason=str(said.get("reason", "")))


def _ask(claim: Claim, head: str) -> Verdict:
    """What the model found. Raises Fault, which is as good as no answer, after telling it once what was wrong."""
    aim, shown, space = aim_of(claim.goal), evidence.of(claim.goal, head), room()
    asked = prompts.judge(aim, shown, budget_tokens=space.question)
    reply = ask(question(claim, PURPOSE, 1, asked, judging.SCHEMA, most=space.answer))
    try:
        verdict = judging.read(reply.whole(), criteria=len(aim.criteria), citable=shown.citable, repo=aim.repo)
    except Fault as fault:
        keep(claim, reply.text, fault)
        asked = prompts.rejudge(aim, shown, reply.text, fault, budget_tokens=space.question)
        reply = ask(question(claim, PURPOSE, 2, asked, judging.SCHEMA, most=space.answer))
        verdict = judging.read(reply.whole(), criteria=len(aim.criteria), citable=shown.citable, repo=aim.repo)
    _remember(claim, verdict, aim.criteria, reply.model, head)
    return verdict


@transaction.atomic
def _remember(claim: Claim, verdict: Verdict, criteria: Sequence[str], model: str, head: str) -> None:
    goal = claim.held()
    judgement = {
        "verdict": "pass" if verdict.passed else "fail",
        "reason": verdict.reason,
        "criteria": [
            {"criterion": text, "met": met, "where": where}
            for text, (met, where) in zip(criteria, verdict.criteria, strict=True)
        ],
        "gaps": [{"description": gap.description, "severity": gap.severity} for gap in verdict.gaps],
        "model": model,
        "head": head,
        "round": goal.rounds,
    }
    Goal.objects.filter(pk=goal.pk).update(judgement=judgement)


# --- missing ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def _continue(claim: Claim, verdict: Verdict) -> None:
    goal = claim.held()
    if goal.rounds >= settings.FOLLOW_UP_ROUNDS:
        missing = "; ".join(gap.description for gap in verdict.gaps)
        progress.want_review(goal, f"Still missing after {goal.rounds} more rounds: {missing}")
        return
    goal.rounds += 1
    progress.add_slices(goal, [_slice(goal, gap) for gap in verdict.gaps])
    changes = {"rounds": goal.rounds, "tries": 0, "claim_until": None, "not_before": None}
    transition(
        goal, GoalStatus.EXECUTING, Kind.GOAL_CONTINUED, set=changes, tell=watchers(goal), round=goal.rounds,
        gaps=len(verdict.gaps), reason=verdict.reason[:1_000],
    )  # fmt: skip


def _slice(goal: Goal, gap: judging.Gap) -> Mapping[str, Any]:
    """What is missing, as work, with the checks of the goal; without any, those of the slices before."""
    held = [] if goal.checks else merging.together([one.checks for one in goal.slices.all()])
    return {
        "title": gap.description.splitlines()[0][:200],
        "description": f"This is still missing: {gap.description}",
        "success_criteria": [gap.description],
        "checks": list(held),
        "after": [],
    }


# --- reached ----------------------------------------------------------------------------------------------------------


def _complete(claim: Claim) -> None:
    """The one pull request, and the end of the goal, in one commit."""
    pull, fields = opening.prepare_whole(whole_of(Goal.objects.select_related("repo").get(pk=claim.goal.pk)))
    with transaction.atomic():
        now = claim.held()
        made = opening.open_whole(pull, fields)
        ended = {"finished_at": Now(), "pull": made, "claim_until": None, "hold": "", "tries": 0, "not_before": None}
        tell = [*watchers(now), "needs-you"]
        transition(now, GoalStatus.COMPLETE, Kind.GOAL_COMPLETED, set=ended, tell=tell, pull=made.pk)


def whole_of(goal: Goal) -> Whole:
    """What the goal came to, as its pull request takes it."""
    # Its evidence is of all attempts up to this one, so it is the newest attempt, which need not be the last merge.
    landed = goal.merges.filter(status=MergeStatus.LANDED, attempt__isnull=False, slice__isnull=False)
    merges = list(landed.order_by("pk").select_related("slice", "attempt__task", "attempt__agent"))
    brought = [merge.attempt for merge in merges if merge.attempt and merge.attempt.outcome == Outcome.SUCCEEDED]
    attempt = max(brought, key=lambda one: one.pk, default=None)
    if attempt is None:
        raise claims.Unusable("No slice changed anything, so there is nothing to review.")
    slices = list(Slice.objects.filter(goal=goal))
    hints = {hint["path"]: hint for one in slices for hint in one.file_hints}
    return Whole(
        goal=goal.pk,
        repo=goal.repo,
        attempt=attempt,
        title=goal.title,
        description=goal.description,
        success_criteria=goal.success_criteria,
        checks=merging.together([goal.checks, *(one.checks for one in slices), goal.final_checks]),
        file_hints=[*goal.file_hints, *hints.values()][:MOST_HINTS],
        branch=goal.branch,
        parts=[_part(merge) for merge in merges],
        judgement={name: goal.judgement.get(name) for name in ("reason", "criteria", "model")},
    )


def _part(merge: Merge) -> Mapping[str, Any]:
    assert merge.slice is not None
    ran = merge.report.get("checks", ())
    return {
        "slice": merge.slice.number,
        "attempt": merge.attempt_id,
        "commit": merge.commit,
        "checks": len(ran),
        "passed": sum(check.get("status") == "pass" for check in ran),
    }
