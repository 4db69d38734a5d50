"""How a goal becomes a plan: a model is asked, with the repository's own files before it, and not believed.

Each kind of fault in an answer is told to the model once. What still cannot be carried out waits for a person, with
everything that was said kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.endpoints import completion, sizes
from apps.endpoints.completion import Question, ThinkingFailed
from apps.endpoints.sizes import Room
from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Refused
from apps.goals import claims, grounding, history, plan, progress, prompts
from apps.goals.actions import watchers
from apps.goals.answers import Fault, storable
from apps.goals.claims import Claim, Unusable
from apps.goals.judging import check_name
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal, Plan
from apps.goals.plan import PlannedSlice
from apps.goals.prompts import Aim, Prompt
from apps.repos import mirror
from apps.repos.trusted import GitFailed, git
from apps.tasks.branches import slug

PURPOSE = "decompose"
STATE = "executing"
"""Pays for what people want; what the hub wants of itself is paid by the state that wanted it."""
BRANCHES = "agentcom/goal"
MOST_REPAIRS = 4
MOST_SECONDS = 500.0
"""After so long no repair is begun: with the longest call it would outlast the job."""


class NothingThere(Refused):
    """{slug} has no commit on {branch}; there is nothing to build on."""


def decompose(goal: int) -> None:
    """Make the plan of a goal, unless somebody does already. Twice is once."""
    claim = claims.take(goal, GoalStatus.DECOMPOSING)
    if claim is None:
        return
    with claims.answering(claim):
        base = _head(claim.goal)
        made, model = _ask(claim, base)
        if made.impossible:
            _give_up(claim, made.impossible)
            return
        branch = _branch(claim.goal, base)
        _adopt(claim, made, model, branch=branch, base=base)


def _head(goal: Goal) -> str:
    found = mirror.head(goal.repo.mirror, goal.repo.default_branch)
    if found is None:
        raise NothingThere("nothing_there", slug=goal.repo.slug, branch=goal.repo.default_branch)
    return found


def _ask(claim: Claim, base: str) -> tuple[plan.Plan, str]:
    """The plan and the model that made it. Raises Unusable when what is wrong stays wrong."""
    goal = claim.goal
    aim = aim_of(goal)
    ground = grounding.ground(goal.repo.mirror, base, words=aim.words, hints=aim.file_hints)
    space = room()
    asked = prompts.decompose(aim, ground, budget_tokens=space.question)
    told: set[str] = set()
    ends = time.monotonic() + MOST_SECONDS
    nth = 0
    while True:
        nth += 1
        reply = ask(question(claim, PURPOSE, nth, asked, plan.SCHEMA, most=space.answer))
        try:
            return plan.read(reply.whole(), tree=ground.paths, repo=goal.repo.slug), reply.model
        except Fault as fault:
            keep(claim, reply.text, fault)
            if fault.kind in told or nth > MOST_REPAIRS or time.monotonic() > ends:
                raise Unusable(f"The model gave no usable plan. The last fault: {fault.message}") from fault
            told.add(fault.kind)
            asked = prompts.repair(aim, ground, reply.text, fault, budget_tokens=space.question)


def aim_of(goal: Goal) -> Aim:
    """The goal in the plain values that prompts are made of."""
    return Aim(
        repo=goal.repo.slug,
        title=goal.title,
        description=goal.description,
        success_criteria=tuple(goal.success_criteria),
        checks=tuple(check_name(check["type"], check.get("target", "")) for check in goal.checks),
        file_hints=tuple(hint["path"] for hint in goal.file_hints),
    )


@dataclass(frozen=True)
class Reply:
    """What a model said to a question about a goal; `cut` says why that is not all of it."""

    text: str
    model: str = ""
    cut: str = ""

    def whole(self) -> str:
        """Its text. Raises Fault when the end is missing, so that the model is told and can be brief."""
        if self.cut:
            raise Fault("not_json", self.cut)
        return self.text


def ask(asked: Question) -> Reply:
    """Ask a model; an answer that came to its limit is one that can be used as little as any other that is no JSON."""
    try:
        answer = completion.ask(asked)
    except ThinkingFailed as failed:
        if failed.code != "thinking_cut_off":
            raise
        return Reply(failed.said, cut=f"The answer was cut off at its limit of {asked.max_output} tokens.")
    return Reply(answer.text, answer.model)


def question(claim: Claim, purpose: str, nth: int, asked: Prompt, schema: Mapping[str, Any], *, most: int) -> Question:
    """A call about a goal, paid by its budget, and by that of the state in which the hub wanted it for itself."""
    return Question(
        purpose=purpose,
        state=claim.goal.source if claim.goal.is_own else STATE,
        system=asked.system,
        prompt=asked.prompt,
        schema=schema,
        call_id=claim.call_id(purpose, nth),
        scopes={"goal": str(claim.goal.pk), "repo": claim.goal.repo.slug},
        max_output=most,
        own=claim.goal.is_own,
    )


def room() -> Room:
    """Tokens that a question and its answer may have with the model that would be asked now."""
    thinker = completion.thinker()
    return sizes.room(thinker.context if thinker is not None else settings.THINKING_CONTEXT)


@transaction.atomic
def keep(claim: Claim, said: str, fault: Fault) -> None:
    """What could not be used stays to be read: how a person learns why there is no plan."""
    goal = claim.held()
    record(
        Kind.GOAL_RETRIED,
        goal,
        tell=watchers(goal),
        fault=fault.kind,
        reason=fault.message[:1_000],
        said=storable(said)[:8_000],
    )


@transaction.atomic
def _give_up(claim: Claim, why: str) -> None:
    goal = claim.held()
    ended = {"finished_at": Now(), "reason": why[:1_000], "claim_until": None, "hold": ""}
    transition(
        goal, GoalStatus.FAILED, Kind.GOAL_FAILED, set=ended, tell=[*watchers(goal), "needs-you"], reason=why[:1_000]
    )


def _branch(goal: Goal, base: str) -> str:
    """The goal's branch, cut from the default branch; one that is there already stays as it is."""
    name = goal.branch or f"{BRANCHES}/{goal.pk}-{slug(goal.title)}"
    if mirror.head(goal.repo.mirror, name) is None:
        try:
            git(goal.repo.mirror, "update-ref", "-m", f"goal {goal.pk}", mirror.HEADS + name, base, "0" * 40)
        except GitFailed:
            if mirror.head(goal.repo.mirror, name) is None:
                raise
    return name


@transaction.atomic
def _adopt(claim: Claim, made: plan.Plan, model: str, *, branch: str, base: str) -> None:
    """Write the plan and its slices down; without approval to wait for, it is carried out from here."""
    goal = claim.held()
    slices = progress.add_slices(goal, [_row(piece) for piece in made.slices])
    Plan.objects.create(goal=goal, document=plan.document(made), model=model[:240], estimate=history.expected(slices))
    facts = {"branch": branch, "base": base, "tries": 0, "claim_until": None, "hold": "", "not_before": None}
    told: dict[str, Any] = {"slices": len(made.slices), "model": model}
    if goal.needs_approval:
        Goal.objects.filter(pk=goal.pk).update(**facts)
        record(Kind.GOAL_APPROVAL_WANTED, goal, tell=[*watchers(goal), "needs-you"], **told)
    else:
        transition(goal, GoalStatus.EXECUTING, Kind.GOAL_PLANNED, set=facts, tell=watchers(goal), **told)


def _row(piece: PlannedSlice) -> dict[str, Any]:
    new = [{"path": path, "reason": "to be made"} for path in piece.new_files]
    return {
        "title": piece.title,
        "description": piece.description,
        "success_criteria": list(piece.success_criteria),
        "checks": [asdict(check) for check in piece.checks],
        "file_hints": [*({"path": path, "reason": ""} for path in piece.files), *new],
        "tier": piece.tier,
        "after": list(piece.after),
    }
