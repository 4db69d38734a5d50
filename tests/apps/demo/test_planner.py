"""The player that plans and judges: asked with the hub's own prompts, read by the hub's own readers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.demo import planner, wish
from apps.demo.ground import SAMPLE
from apps.goals import judging, plan, prompts
from apps.goals.judging import Changed, Evidence, Proof, Verdict
from apps.goals.prompts import Aim
from apps.goals.relevance import Ground

TREE = tuple(sorted(str(path.relative_to(SAMPLE)) for path in SAMPLE.rglob("*.*") if "__pycache__" not in path.parts))
AIM = Aim(repo="textkit", title=wish.TITLE, description=wish.DESCRIPTION, success_criteria=wish.CRITERIA)
BUDGET = 12_000


def planned(aim: Aim, paths: tuple[str, ...] = TREE) -> plan.Plan:
    said = planner.thought(prompts.decompose(aim, Ground(paths=paths), budget_tokens=BUDGET).prompt)
    assert said is not None
    return plan.read(said, tree=paths, repo="textkit")


def judged(evidence: Evidence) -> Verdict:
    said = planner.thought(prompts.judge(AIM, evidence, budget_tokens=BUDGET).prompt)
    assert said is not None
    return judging.read(said, criteria=len(AIM.criteria), citable=evidence.citable, repo="textkit")


@pytest.fixture
def done() -> Evidence:
    made = [
        Changed(piece.path, patch="\n".join(f"+{line}" for line in piece.code.split("\n"))) for piece in wish.PIECES
    ]
    return Evidence(files=(Changed("README.md", patch="+x"), *made), checks=(Proof("tests_pass", "pass"),))


def test_it_plans_two_slices_side_by_side_and_a_third_after_both():
    assert [(), (), (1, 2)] == [piece.after for piece in planned(AIM).slices]


def test_a_goal_or_a_repository_that_it_does_not_know_it_plans_nothing_for():
    assert planner.STRANGER == planned(replace(AIM, title="Write a novel")).impossible
    assert planner.STRANGER == planned(AIM, ("novel.txt",)).impossible


def test_it_is_content_when_what_the_criteria_name_is_there(done):
    verdict = judged(done)

    assert verdict.passed
    assert ["textkit/syllables.py", "textkit/pace.py", "textkit/reading.py, README.md"] == [
        where for _, where in verdict.criteria
    ]


def test_what_is_missing_or_broken_it_says(done):
    without = judged(replace(done, files=done.files[:-1]))
    unnamed = judged(replace(done, files=done.files[1:]))
    broken = judged(replace(done, checks=(Proof("tests_pass", "fail", "no"),)))

    assert [True, True, False] == [met for met, _ in without.criteria] == [met for met, _ in unnamed.criteria]
    assert ["A check does not pass: tests_pass: fail"] == [gap.description for gap in broken.gaps]


def test_what_is_no_question_of_the_hub_it_leaves_to_the_others():
    assert planner.thought("Mend capitals after apostrophes") is None
