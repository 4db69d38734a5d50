"""A broken default branch becomes work: one goal of the hub's own for each fault, however often it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import transaction

from apps.events.refused import Refused
from apps.goals.actions import Wanted
from apps.goals.models import Goal, Source
from apps.goals.own import submit_own
from apps.insight import faults
from apps.insight.lifecycle import PAUSED, CheckupStatus
from apps.insight.models import Checkup
from apps.repos import mirror
from apps.repos.models import Repo
from apps.repos.trusted import GitFailed
from apps.tasks.models import Lane

logger = structlog.get_logger(__name__)
MOST_AT_ONCE = 3
"""Faults of one head that become goals; what many checks say at once has mostly few causes."""


@dataclass(frozen=True)
class Mended:
    """What became of one fault: a goal (`new` when it was made just now), or why there is none."""

    name: str
    goal: int | None = None
    new: bool = False
    why_not: str = ""


def broken() -> list[Checkup]:
    """The checkups by which a default branch is broken now, in the order of the repositories; paused ones left out."""
    failed = Checkup.objects.newest().filter(status=CheckupStatus.FAILED, repo__paused=False)
    return list(failed.select_related("repo").order_by("repo__place", "repo__slug"))


def unmended(checkup: Checkup) -> list[Mapping[str, Any]]:
    """The faults that no goal is there for yet."""
    return [fault for fault in checkup.faults[:MOST_AT_ONCE] if not fault.get("goal")]


def link(repo: Repo, found: Iterable[dict[str, Any]]) -> None:
    """Note with each fault of a head the goal that is there for it already, from an earlier head."""
    about = {fingerprint(repo, fault): fault for fault in found}
    still_open = Goal.objects.own().undecided().filter(fingerprint__in=about).order_by("-pk")
    for key, goal in still_open.values_list("fingerprint", "pk"):
        about[key]["goal"] = goal


def mend(checkup: Checkup, fault: Mapping[str, Any]) -> Mended:
    """Hand in a goal for a fault that has none; one that exists for the same fault is taken for it."""
    done = _hand_in(checkup, fault)
    return done if done.why_not == PAUSED else _remember(checkup, fault, done)


def _hand_in(checkup: Checkup, fault: Mapping[str, Any]) -> Mended:
    about = fingerprint(checkup.repo, fault)
    try:
        made = submit_own(_wanted(checkup, fault), fingerprint=about)
    except Refused as refused:
        if refused.code == "paused":  # no answer: it is asked again when the hub goes on
            return Mended(fault["name"], why_not=PAUSED)
        open_one = Goal.objects.own().undecided().filter(fingerprint=about).values_list("pk", flat=True).first()
        return Mended(fault["name"], open_one, why_not="" if open_one else refused.message)
    return Mended(fault["name"], made.pk, new=True)


def fingerprint(repo: Repo, fault: Mapping[str, Any]) -> str:
    """What the goal is about; the same at every commit."""
    return f"broken-main:{repo.slug}:{fault['key']}"[:200]


def _remember(checkup: Checkup, fault: Mapping[str, Any], done: Mended) -> Mended:
    with transaction.atomic():
        now = Checkup.objects.select_for_update().get(pk=checkup.pk)
        for known in now.faults:
            if known["key"] == fault["key"] and not known.get("goal"):
                known |= {"goal": done.goal, "why_not": done.why_not[:500]}
        now.save(update_fields=["faults"])
    checkup.faults = now.faults
    return done


def _wanted(checkup: Checkup, fault: Mapping[str, Any]) -> Wanted:
    repo = checkup.repo
    green = _last_green(checkup)
    told = faults.diagnosis(
        fault, branch=repo.default_branch, commit=checkup.commit, green=green, commits=list(_since(checkup, green))
    )
    checks, final = faults.demands(fault, checks=repo.checks, ran=checkup.report.get("checks", ()))
    return Wanted(
        title=faults.title(fault, repo.default_branch),
        repo=repo,
        description=told,
        success_criteria=[faults.criterion(fault)],
        checks=checks,
        final_checks=final,
        file_hints=[
            {"path": file["path"], "reason": f"A conflict begins at line {file['line']}."}
            for file in fault.get("files", ())
        ],
        tags=["healing", "broken-main"],
        lane=Lane.HIGH,
        source=Source.HEALING,
    )


def _last_green(checkup: Checkup) -> str:
    before = Checkup.objects.filter(repo=checkup.repo_id, pk__lt=checkup.pk, status=CheckupStatus.PASSED)
    return before.order_by("-pk").values_list("commit", flat=True).first() or ""


def _since(checkup: Checkup, green: str) -> Iterator[str]:
    """A line for each commit that came since, newest first; just the latest few where that cannot be said."""
    try:
        found = mirror.log(checkup.repo.mirror, checkup.commit, since=green or None, limit=faults.MOST_COMMITS)
    except GitFailed:  # what was green is not in the repository any more
        logger.warning("the commits since are not known", checkup=checkup.pk, exc_info=True)
        return
    yield from (f"{one.sha[:12]} {one.author[:60]}: {one.subject[:200]}" for one in found)
