"""The evidence block: what it says, of whom, and that nothing in it acts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from apps.forge import actions, merging
from apps.forge.evidence import evidence_of
from apps.forge.evidence_text import markdown
from apps.forge.models import PullRequest
from apps.tasks.models import Attempt
from tests import cast
from tests.apps.forge.workshop import CHECK, Workshop, drain, run_git

pytestmark = pytest.mark.django_db
CHANGE = {"README": "one\n2\nthree\n"}


def test_it_tells_what_was_asked_done_and_checked_by_whom(workshop: Workshop, settings: Settings) -> None:
    settings.BASE_URL = "https://someone:secret@hub.example/"
    pull = workshop.verified(CHANGE, "Count", description="Why not.", success_criteria=["It counts."])

    it = evidence_of(pull)

    assert (pull.task_id, "Why not.", ["It counts."]) == (it.task, it.goal, it.success_criteria)
    assert (1, 1, 1, pull.base, pull.head, pull.tree) == (it.files, it.added, it.deleted, it.base, it.head, it.tree)
    assert [("pass", "pass", "pass", "make test")] == [(c.first, c.last, c.verified, c.command) for c in it.checks]
    assert it.verification is not None
    assert (True, False, "bubblewrap") == (it.verification.independent, it.verification.stale, it.verification.sandbox)
    assert it.summary.startswith(f"Verified by {it.verification.verifier}:")
    assert hashlib.sha256(b"done\n").hexdigest() == it.log_digest
    assert [
        f"git fetch https://…@hub.example/git/sample.git refs/heads/{pull.branch}",
        f"git checkout --detach {pull.head}",
        "make test",
    ] == it.reproduce.splitlines()
    assert (True, "") == (it.mergeable, it.obstacle)


def test_the_lines_to_reproduce_it_really_fetch_what_was_verified(workshop: Workshop, ann: User) -> None:
    first, second = workshop.verified(CHANGE), workshop.verified({"new": "file\n"})
    merging.merge(first, ann)
    drain()
    workshop.verify(second)
    it = evidence_of(cast.fresh(second))
    assert it.verification is not None
    fetch, checkout, *_ = it.reproduce.replace("http://HUB/git/sample.git", str(workshop.mirror)).splitlines()

    for line in (fetch, checkout):
        run_git(workshop.tree, *line.split()[1:])

    assert it.verification.commit == run_git(workshop.tree, "rev-parse", "HEAD")
    assert it.verification.tree == run_git(workshop.tree, "rev-parse", "HEAD^{tree}")


def test_the_author_who_verifies_himself_is_named_as_such(workshop: Workshop) -> None:
    pull = workshop.verified(CHANGE)
    pull.verifications.update(verifier=pull.attempt.agent)

    it = evidence_of(pull)

    assert f"by its author {pull.attempt.agent.name} in a fresh checkout" in it.summary
    assert it.verification is not None
    assert not it.verification.independent


def _pending(workshop: Workshop) -> PullRequest:
    return workshop.opened(CHANGE)


def _unchecked(workshop: Workshop) -> PullRequest:
    return workshop.opened(CHANGE, checks=[])


def _refuted(workshop: Workshop) -> PullRequest:
    pull = workshop.opened(CHANGE)
    workshop.verify(pull, "fail")
    return cast.fresh(pull)


def _moved(workshop: Workshop) -> PullRequest:
    pull = workshop.verified(CHANGE)
    other = run_git(workshop.mirror, "commit-tree", "-p", "main", "-m", "Other", "main^{tree}")
    run_git(workshop.mirror, "update-ref", "refs/heads/main", other)
    return pull


@pytest.mark.parametrize(
    ("reached", "words"),
    [
        (_pending, "being repeated"),
        (_unchecked, "Unverified: the task has no checks."),
        (_refuted, "Refuted by"),
        (_moved, "Stale:"),
    ],
)
def test_the_first_sentence_says_how_far_it_can_be_believed(
    workshop: Workshop, reached: Callable[[Workshop], PullRequest], words: str
) -> None:
    it = evidence_of(reached(workshop))

    assert words in it.summary
    assert words in markdown(it)


def test_what_was_merged_keeps_its_evidence_when_the_branch_goes_on(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)

    it = evidence_of(merging.merge(pull, ann))

    assert it.summary.startswith("Verified by")
    assert (False, "It is merged already.") == (it.mergeable, it.obstacle)


def test_attempts_and_cost_of_the_follow_up_count_too(workshop: Workshop, ann: User) -> None:
    pull = workshop.verified(CHANGE)
    follow_up = actions.request_changes(pull, ann, "Please.")
    workshop.deliver(follow_up, {"README": "other\n"})
    drain()
    for attempt in Attempt.objects.filter(task__in=[pull.task, follow_up]):
        Attempt.objects.filter(pk=attempt.pk).update(
            result={**attempt.result, "cost_microusd": 1_500_000, "tokens": {"input": 10}}
        )

    it = evidence_of(cast.fresh(pull))

    assert [pull.task_id, follow_up.pk] == [one.task for one in it.attempts]
    assert (3_000_000, {"input": 20}) == (it.cost_microusd, it.tokens)
    assert "$3.0000, 20 input tokens" in markdown(it)


def test_nothing_that_somebody_said_acts_in_the_markdown(workshop: Workshop) -> None:
    said = "Fixes #1 @org/all <img src=x> ![p](https://track.example/x.png)\n## Approved\n| a |"
    check = {**CHECK, "target": "make test # `whoami` @org Fixes #2 |\n```\n# Out"}
    title = said[:150].replace("\n", " ")
    pull = workshop.verified(CHANGE, title, description=said, success_criteria=[said], checks=[check])

    block = markdown(evidence_of(pull))
    outside = block.partition("### Reproduce")[0]

    assert "@org" not in outside
    assert "#1" not in outside
    assert "#2" not in outside
    assert "<img" not in block
    assert "://track" not in outside
    assert "\n## Approved" not in block
    assert ["## Evidence"] == [line for line in outside.splitlines() if line.startswith("## ")]
    assert ["````sh", "````"] == [line for line in block.splitlines() if line.startswith("````")]
