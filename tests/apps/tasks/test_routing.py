"""The executor and the grades of a task: the pure rules, and what a submitted task carries of them."""

from __future__ import annotations

import pytest

from apps.tasks.actions import FOR_A_COMMAND, FOR_A_MODEL
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Work
from apps.tasks.routing import MODEL, Route, escalated, route, widened
from tests import cast

LOCAL = {"executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 40.0}
TIERS = ["trivial", "standard", "complex", "unknown"]
CHAIN = ("local", "house", "claude")


@pytest.mark.parametrize("tier", TIERS)
def test_words_never_go_to_the_shell_however_simple_they_look(tier: str) -> None:
    found = route(kind="change", command="", tier=tier, chain=CHAIN)

    assert (MODEL, ("local",)) == (found.executor, found.grades)
    assert tier in found.reason
    assert "local" in found.reason


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("kind", "executor"), [("change", "shell"), ("verification", "verify")])
def test_commands_and_verifications_need_no_model_however_demanding_they_are(
    kind: str, executor: str, tier: str
) -> None:
    found = route(kind=kind, command="make", tier=tier, chain=CHAIN)

    assert (executor, ()) == (found.executor, found.grades)


def test_a_route_without_a_chain_names_no_grade() -> None:
    assert Route(MODEL, "The task is described in words (standard) and needs a model.") == route(
        kind="change", command="", tier="standard"
    )


@pytest.mark.parametrize(
    ("grades", "chain", "expected"),
    [
        (["local"], CHAIN, ("local", "house")),
        (["local", "house"], CHAIN, ("local", "house", "claude")),
        (["local", "house", "claude"], CHAIN, None),
        ([], CHAIN, ("local",)),  # queued before there were grades
        (["house"], CHAIN, ("house", "claude")),
        (["claude"], CHAIN, ("claude", "local")),  # behind the last come those that were passed over
        (["claude", "local"], CHAIN, ("claude", "local", "house")),
        (["claude"], ("claude",), None),
        (["gone"], CHAIN, ("gone", "local")),  # the rule was changed since
        (["gone", "house"], CHAIN, ("gone", "house", "claude")),
        (["local"], (), None),
    ],
)
def test_what_is_not_to_be_had_leaves_the_choice_wider_until_it_is_the_whole_chain(
    grades: list[str], chain: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    assert expected == widened(grades, chain)


@pytest.mark.parametrize("grades", [["local"], ["claude"], ["gone"], []])
def test_widening_comes_to_an_end(grades: list[str]) -> None:
    steps = 0
    while (wider := widened(grades, CHAIN)) is not None:
        assert list(wider[:-1]) == grades
        grades, steps = list(wider), steps + 1

    assert steps <= len(CHAIN)
    assert set(CHAIN) <= set(grades)


@pytest.mark.parametrize(
    ("grade", "chain", "expected"),
    [
        ("local", CHAIN, ("house",)),
        ("house", CHAIN, ("claude",)),
        ("claude", CHAIN, None),
        ("gone", CHAIN, ("local",)),
        ("local", ("local",), None),
        ("local", (), None),
    ],
)
def test_who_was_not_able_to_do_it_is_followed_by_the_next_alone(
    grade: str, chain: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    assert expected == escalated(grade, chain)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("tier", "grades"),
    [("trivial", ["local"]), ("standard", ["local"]), ("complex", ["claude"])],
)
def test_a_task_in_words_starts_with_the_first_grade_of_its_tier(tier: str, grades: list[str]) -> None:
    task = cast.fresh(cast.queued_task(command="", tier=tier))

    assert (MODEL, grades) == (task.executor, task.grades)


@pytest.mark.django_db
def test_the_tier_that_is_guessed_from_the_words_chooses_the_chain() -> None:
    simple = cast.queued_task("Fix typo in the README", command="")
    hard = cast.queued_task("Redesign the storage layer", command="")

    assert (["local"], ["claude"]) == (cast.fresh(simple).grades, cast.fresh(hard).grades)


@pytest.mark.django_db
def test_only_tasks_in_words_carry_grades() -> None:
    command = cast.queued_task(tier="complex")
    checked = cast.queued_task(command="", work=Work.VERIFICATION, commit="c" * 40)

    assert ("shell", []) == (cast.fresh(command).executor, cast.fresh(command).grades)
    assert ("verify", []) == (cast.fresh(checked).executor, cast.fresh(checked).grades)


@pytest.mark.django_db
def test_a_task_in_words_waits_when_there_is_only_a_shell() -> None:
    cast.agent(executors=["shell", "verify", MODEL])
    task = cast.queued_task(command="")

    assert 0 == match()
    assert TaskStatus.QUEUED == cast.status_of(task)


@pytest.mark.django_db
def test_a_model_gets_more_time_and_repairs_than_a_command_unless_somebody_said_otherwise(settings) -> None:
    settings.MODEL_FIXES = 3
    words, command = cast.queued_task(command=""), cast.queued_task()
    said = cast.queued_task(command="", max_fixes=0, timeout_seconds=5.0)

    assert [(3, FOR_A_MODEL), (0, FOR_A_COMMAND), (0, 5.0)] == [
        (task.max_fixes, task.timeout_seconds) for task in map(cast.fresh, (words, command, said))
    ]


@pytest.mark.django_db
def test_which_model_of_which_machine_does_it_is_kept_with_the_attempt_and_its_reasons() -> None:
    cast.agent("shells")
    chosen = cast.agent("ada", offers=[{**LOCAL, "model": "slow", "tokens_per_second": 1.0}, LOCAL])
    cast.agent("ben", offers=[LOCAL])
    attempt = cast.assigned(cast.queued_task(command=""))

    assert (chosen.pk, "ollama", "qwen3:8b", "local") == (
        attempt.agent_id,
        attempt.executor,
        attempt.model,
        attempt.grade,
    )
    decision = attempt.decision
    assert ("ada", "ollama", "qwen3:8b", "local") == tuple(
        decision[name] for name in ("agent", "executor", "model", "grade")
    )
    assert "offers qwen3:8b (local) through ollama" == decision["reasons"][0]
    assert [
        {"agent": "shells", "reason": "offers no local model"},
        {"agent": "ben", "reason": "was used more recently"},
        {"agent": "ada", "reason": "slow comes after qwen3:8b"},
    ] == decision["losers"]


@pytest.mark.django_db
def test_a_command_is_assigned_without_a_model() -> None:
    cast.agent(offers=[LOCAL])
    attempt = cast.assigned(cast.queued_task())

    assert ("shell", "", "") == (attempt.executor, attempt.model, attempt.grade)
    assert not {"model", "grade"} & set(attempt.decision)


@pytest.mark.django_db
def test_equal_machines_share_tasks_in_words_within_two() -> None:
    agents = [cast.agent(offers=[LOCAL]) for _ in range(2)]
    for _ in range(20):
        attempt = cast.assigned(cast.queued_task(command=""))
        Attempt.objects.filter(pk=attempt.pk).update(ended_at=attempt.assigned_at, outcome="cancelled")

    one, other = (Attempt.objects.filter(agent=agent).count() for agent in agents)
    assert abs(one - other) <= 2
