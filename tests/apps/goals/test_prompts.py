from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from apps.endpoints.sizes import tokens
from apps.goals import judging, plan, prompts, wording
from apps.goals.answers import Fault
from apps.goals.judging import Changed, Done, Evidence, Proof
from apps.goals.prompts import LEAST_BUDGET, Aim, Prompt
from apps.goals.quoting import Quoted, clipped, fenced, harmless, mark_for, one_line, shares
from apps.goals.relevance import Document, Ground
from tests.apps.goals.hostile import TEXTS

BUDGET = 8_192 - 2_048
AIM = Aim(
    repo="textkit",
    title="Count words",
    description="People want to count the words of a text.",
    success_criteria=("count('a b') is 2", "The README tells of it"),
    checks=("tests_pass auto",),
    file_hints=("src/words.py",),
)
GROUND = Ground(
    paths=("README.md", "src/words.py"),
    ranked=("src/words.py",),
    documents=(Document("README.md", "# textkit\n"), Document("src/words.py", "def split(text):\n", cut=True)),
)
EVIDENCE = Evidence(
    files=(Changed("src/words.py", 3, 1, "@@ -1 +1,3 @@\n+def count(text):\n"), Changed("README.md", 1, 0, "+count\n")),
    checks=(Proof("tests_pass auto", "pass", "3 passed"), Proof("command_succeeds make lint", "fail", "E501 too long")),
    slices=(Done("Count words", "I have done everything."),),
)
FAULT = Fault("path", "files of slice 1: src/lines.py is not in the repository.")


def every_prompt(aim: Aim, ground: Ground, evidence: Evidence, previous: str, budget: int) -> list[Prompt]:
    return [
        prompts.decompose(aim, ground, budget_tokens=budget),
        prompts.repair(aim, ground, previous, FAULT, budget_tokens=budget),
        prompts.judge(aim, evidence, budget_tokens=budget),
        prompts.rejudge(aim, evidence, previous, Fault("where", previous or "x"), budget_tokens=budget),
    ]


def full_of(text: str, files: int = 30) -> tuple[Aim, Ground, Evidence]:
    aim = Aim(
        repo="textkit",
        title=text[:200],
        description=text[:10_000],
        success_criteria=(text[:1_000],) * 20,
        checks=(text[:100],) * 20,
        file_hints=(text[:500],) * 50,
    )
    paths = tuple(f"src/{text[:100]}/{number}.py" for number in range(files))
    ground = Ground(paths, truncated=True, ranked=paths, documents=tuple(Document(path, text) for path in paths))
    evidence = Evidence(
        files=tuple(Changed(path, 10**9, 10**9, text) for path in paths),
        checks=tuple(Proof(f"{text[:90]} {number}", "fail", text) for number in range(files)),
        slices=tuple(Done(text[:200], text[:2_000]) for _ in range(8)),
    )
    return aim, ground, evidence


def test_a_plan_is_asked_for_with_all_that_is_known():
    asked = prompts.decompose(AIM, GROUND, budget_tokens=BUDGET)

    for part in ("Count words", "2. The README tells of it", "src/words.py", "# textkit", "def split", "its beginning"):
        assert part in asked.prompt
    assert "in the repository textkit" in asked.prompt
    assert "all files of the repository" in asked.prompt


def test_a_verdict_is_asked_for_with_all_that_was_done():
    asked = prompts.judge(AIM, EVIDENCE, budget_tokens=BUDGET)

    for part in (
        "1. count('a b') is 2",
        "src/words.py (+3 -1)",
        "tests_pass auto: pass",
        "+def count",
        "E501 too long",
    ):
        assert part in asked.prompt
    assert "which proves nothing" in asked.prompt


def test_a_goal_without_criteria_is_judged_as_a_whole():
    assert ("Count words",) == Aim(repo="textkit", title="Count words").criteria


@pytest.mark.parametrize("kind", sorted(wording.REPAIRS))
def test_each_kind_of_fault_is_asked_about_in_its_own_words(kind):
    again = prompts.repair(AIM, GROUND, '{"slices": []}', Fault(kind, "Exactly this."), budget_tokens=BUDGET)

    assert '{"slices": []}' in again.prompt
    assert "Exactly this." in again.prompt
    assert wording.REPAIRS[kind] in again.prompt


def test_every_fault_of_a_plan_or_a_verdict_has_its_own_words():
    kinds = {"not_json", "schema", "count", "dag", "path", "check", "foreign", "verdict", "criteria", "where", "gaps"}

    assert kinds == set(wording.REPAIRS)


def test_examples_in_our_own_words_are_in_the_form_that_is_read():
    planned = json.loads(wording.DECOMPOSE_AT_LAST.split("\n", 1)[1])
    judged = json.loads(wording.JUDGE_AT_LAST.split("\n", 1)[1])

    assert set(planned["slices"][0]) == set(plan.SCHEMA["properties"]["slices"]["items"]["properties"])
    assert list(judged) == list(judging.SCHEMA["properties"])


def test_the_same_question_is_the_same_to_the_byte():
    assert every_prompt(AIM, GROUND, EVIDENCE, "x", BUDGET) == every_prompt(AIM, GROUND, EVIDENCE, "x", BUDGET)


def test_too_small_a_budget_is_refused():
    with pytest.raises(ValueError, match="needs"):
        prompts.decompose(AIM, GROUND, budget_tokens=LEAST_BUDGET - 1)


def test_what_did_not_fit_is_said():
    paths = tuple(f"src/module_{number:05}.py" for number in range(50_000))
    ground = Ground(paths, ranked=paths[:100], documents=(Document("a.py", "word " * 9_000), Document("b.py", "x")))
    files = tuple(Changed(path, 1, 1, "+line\n" * 50) for path in paths[:500])

    asked = prompts.decompose(AIM, ground, budget_tokens=BUDGET).prompt
    judged = prompts.judge(AIM, Evidence(files=files), budget_tokens=BUDGET).prompt

    assert re.search(r"\d+ of 50000 files", asked)
    assert "src/ holds 50000 files" in asked
    assert "[cut here; 45000 characters in all]" in asked
    assert re.search(r"\[\d+ more files\]", judged)
    assert re.search(r"The patches of \d+ more files did not fit", judged)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("budget", [LEAST_BUDGET, BUDGET, 30_000])
def test_hostile_text_neither_bursts_a_prompt_nor_takes_long(name, budget):
    began = time.process_time()
    made = every_prompt(*full_of(TEXTS[name]), TEXTS[name], budget)

    assert all(asked.tokens <= budget for asked in made)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", TEXTS)
def test_our_own_words_come_through_whatever_is_quoted(name):
    made = every_prompt(*full_of(TEXTS[name]), TEXTS[name], LEAST_BUDGET)

    for asked, (first, last) in zip(
        made,
        [(wording.DECOMPOSE.format(repo="textkit"), wording.DECOMPOSE_AT_LAST)] * 2
        + [(wording.JUDGE, wording.JUDGE_AT_LAST)] * 2,
        strict=True,
    ):
        assert asked.prompt.startswith(first)
        assert asked.prompt.endswith(last)
        assert "the goal's criteria" in asked.prompt


def outside(asked: Prompt) -> str:
    """What stands outside of all quotations, as a reader sees it who believes only the mark in the rules."""
    found = re.search(r"\[data ([a-p]{16}): …\]", asked.system)
    assert found is not None
    mark = found[1]
    quotation = re.compile(rf"^\[data {mark}: [^\n]*\]\n.*?\n\[end of data {mark}\]$", re.DOTALL | re.MULTILINE)
    left = quotation.sub("", asked.prompt)
    assert mark not in left
    return left


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_quoted_stands_outside_of_its_quotation(name):
    plain = [re.sub(r"\s+", " ", outside(asked)) for asked in every_prompt(AIM, GROUND, EVIDENCE, "x", BUDGET)]
    hostile = [
        re.sub(r"\s+", " ", outside(asked)) for asked in every_prompt(*full_of(TEXTS[name]), TEXTS[name], BUDGET)
    ]

    assert plain[0] == hostile[0]
    assert plain[1:3] == hostile[1:3]


def test_signs_of_turns_are_broken():
    for name in ("fake turns", "fake turns in other signs"):
        safe = harmless(TEXTS[name])

        assert not re.search(r"<[|\uff5c]|[|\uff5c]>|\[/?INST\]|</?s>|<start_of_turn>|</?think>|<</?SYS>>", safe), safe


def test_what_cannot_be_seen_is_taken_out_and_programs_stay_as_they_are():
    assert "abc[31mred\n" == harmless(TEXTS["invisible"])
    code = "if a < b and b > c or x[i] <= y | z:\n\treturn [INST, s]  # <b>é</b>\n"
    assert code == harmless(code)


@given(some.lists(some.text(), max_size=4))
def test_no_text_holds_the_mark_that_is_chosen_for_it(texts):
    mark = mark_for(texts)

    assert not any(mark in text.lower() for text in texts)
    assert mark == mark_for(texts)


def test_who_knows_the_mark_of_a_text_gets_another_one_by_writing_it_down():
    text = "hello"
    forged = fenced(Quoted("x", text), mark_for([text]))

    assert mark_for([text]) != mark_for([text, forged])
    assert mark_for([text, forged]) not in forged


@given(some.text(), some.text())
def test_two_texts_together_have_no_more_tokens_than_each_by_itself(one, other):
    assert tokens(one + other) <= tokens(one) + tokens(other)


@settings(deadline=None)
@given(some.text(max_size=2_000) | some.sampled_from(sorted(TEXTS)).map(TEXTS.get), some.integers(-5, 500))
def test_a_clipped_text_fits(text, most):
    assert tokens(clipped(text, most)) <= max(0, most)
    assert tokens(clipped(text, most, ending="…")) <= max(0, most)


@given(some.text(), some.integers(1, 50))
def test_a_line_is_one_line_of_its_length(text, longest):
    line = one_line(text, longest)

    assert len(line) <= longest
    assert len(line.splitlines()) <= 1


@given(some.lists(some.integers(0, 100)), some.integers(0, 500))
def test_room_is_shared_by_need(wants, room):
    given = shares(wants, room)

    assert sum(given) <= room
    assert all(got <= want for got, want in zip(given, wants, strict=True))
    assert sum(wants) > room or given == wants
    assert all(got == want or got + 1 >= max(given) for got, want in zip(given, wants, strict=True))


@settings(max_examples=100, deadline=None)
@given(some.text(max_size=300), some.integers(0, 40), some.integers(LEAST_BUDGET, 10_000))
def test_whatever_is_asked_about_fits(text, files, budget):
    assert all(asked.tokens <= budget for asked in every_prompt(*full_of(text, files), text, budget))
