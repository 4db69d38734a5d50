"""Who gets which task: a table of small situations, without a database."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from apps.tasks.matching import MAX_LOSERS, Head, Need, Offer, Pair, Place, Worker, explain, misfit, pair


def worker(id: int, *capabilities: str, **facts: Any) -> Worker:  # noqa: A002  as the field is called
    facts.setdefault("executors", frozenset({"shell", "verify"}))
    return Worker(id, f"agent-{id}", capabilities=frozenset(capabilities), **facts)


def head(task: int, rank: float = 0, room: int | None = None, **need: Any) -> Head:
    return Head(task, 0, rank, Need(need.pop("executor", "shell"), **need), room)


def paired(heads: list[Head], idle: list[Worker], connected: list[Worker] | None = None) -> list[tuple[int, int]]:
    made = pair(heads, idle, idle if connected is None else connected)
    return [(one.head.task, one.worker.id) for one in made]


GPU = frozenset({"gpu"})


@pytest.mark.parametrize(
    ("need", "one", "why"),
    [
        (Need("shell"), worker(1), ""),
        (Need("model"), worker(1), "offers no model executor"),
        (Need("shell", GPU), worker(1), "lacks gpu"),
        (Need("shell", GPU), worker(1, "gpu", "more"), ""),
        (Need("shell", frozenset({"b", "a"})), worker(1), "lacks a, b"),
        (Need("shell", target=1), worker(1), ""),
        (Need("shell", target=2), worker(1), "the task is meant for another agent"),
        (Need("shell", repo=7), worker(1), ""),
        (Need("shell", repo=7), worker(1, repos=frozenset({7})), ""),
        (Need("shell", repo=7), worker(1, repos=frozenset({8})), "may not work in this repository"),
        (Need("shell", repo=7), worker(1, repos=frozenset()), "may not work in this repository"),
        (Need("shell"), worker(1, repos=frozenset()), ""),
        (Need("shell", avoid=1), worker(1), ""),
    ],
)
def test_an_agent_fits_or_the_reason_is_given(need: Need, one: Worker, why: str) -> None:
    assert why == misfit(need, one)


@pytest.mark.parametrize(
    ("heads", "idle", "expected"),
    [
        pytest.param([], [worker(1)], [], id="no task"),
        pytest.param([head(1)], [], [], id="no agent"),
        pytest.param([head(1), head(2)], [worker(1)], [(1, 1)], id="one task an agent"),
        pytest.param([head(1)], [worker(1), worker(2)], [(1, 1)], id="who has waited longest goes first"),
        pytest.param([head(2, rank=1), head(1, rank=2)], [worker(1)], [(2, 1)], id="the lower rank goes first"),
        pytest.param([head(2), head(1)], [worker(1)], [(1, 1)], id="the older of equals goes first"),
        pytest.param(
            [head(1, capabilities=GPU), head(2, rank=1)], [worker(1), worker(2, "gpu")], [(1, 2), (2, 1)], id="subset"
        ),
        pytest.param([head(1, target=2), head(2, rank=1)], [worker(1), worker(2)], [(1, 2), (2, 1)], id="target"),
        pytest.param(
            [head(1, room=1, repo=7), head(2, 1, room=1, repo=7), head(3, 2)],
            [worker(1), worker(2)],
            [(1, 1), (3, 2)],
            id="a repository without room is passed over",
        ),
        pytest.param([head(1, room=0, repo=7)], [worker(1)], [], id="no room at all"),
        pytest.param(
            [head(1, room=1, repo=7), head(2, room=1, repo=8)],
            [worker(1), worker(2)],
            [(1, 1), (2, 2)],
            id="each repository has its own room",
        ),
        pytest.param([head(1, executor="model"), head(2, 1)], [worker(1)], [(2, 1)], id="what nobody can do waits"),
    ],
)
def test_tasks_and_agents_are_paired(heads: list[Head], idle: list[Worker], expected: list[tuple[int, int]]) -> None:
    assert expected == paired(heads, idle)


def test_the_author_is_avoided_while_another_can_do_it() -> None:
    author, other = worker(1), worker(2)

    assert [(1, 2)] == paired([head(1, avoid=1)], [author, other])
    assert [] == paired([head(1, avoid=1)], [author], [author, other])  # the other is busy; the task waits for it


def test_the_author_is_the_last_resort_when_no_other_could_ever_do_it() -> None:
    author, unable = worker(1), worker(2, executors=frozenset({"shell"}))
    (made,) = pair([head(1, executor="verify", avoid=1)], [author, unable], [author, unable])

    assert 1 == made.worker.id
    assert any("wrote it itself" in reason for reason in made.reasons)


def test_the_losers_are_named_with_their_reasons_and_the_rest_are_counted() -> None:
    idle = [worker(1), worker(2, "gpu"), *(worker(n, "gpu") for n in range(3, 3 + MAX_LOSERS))]
    (made,) = pair([head(1, capabilities=GPU)], idle)

    assert 2 == made.worker.id
    assert (("agent-1", "lacks gpu"), ("agent-3", "was used more recently")) == made.losers[:2]
    assert (MAX_LOSERS, 1) == (len(made.losers), made.more_losers)


def test_equal_agents_get_equal_shares_within_two() -> None:
    line = [worker(n) for n in range(5)]
    shares: Counter[int] = Counter()
    for task in range(103):
        ((_, chosen),) = paired([head(task)], line)
        shares[chosen] += 1
        line.append(line.pop(next(n for n, one in enumerate(line) if one.id == chosen)))

    assert max(shares.values()) - min(shares.values()) <= 2


@pytest.mark.parametrize(
    ("connected", "words"),
    [
        ([], "No agent is connected."),
        ([worker(1, "gpu")], "Every agent that fits is busy."),
        ([worker(1)], "No connected agent fits: agent-1 lacks gpu."),
    ],
)
def test_why_a_task_waits_is_one_sentence(connected: list[Worker], words: str) -> None:
    assert words == explain(Need("shell", GPU), {one.id: one for one in connected})


# --- models -----------------------------------------------------------------------------------------------------------

SMALL = Offer("ollama", "small", "local", 40.0)
LARGE = Offer("ollama", "large", "local", 9.0)
UNMEASURED = Offer("ollama", "unmeasured", "local")
CLAUDE = Offer("claude", "opus", "claude", 70.0)


def words(*grades: str, **facts: Any) -> Need:
    return Need("model", grades=grades, **facts)


def thinker(id: int, *offers: Offer, **facts: Any) -> Worker:  # noqa: A002  as the field is called
    return worker(id, offers=offers, **facts)


@pytest.mark.parametrize(
    ("need", "one", "why"),
    [
        (words("local"), thinker(1, SMALL), ""),
        (words("claude"), thinker(1, SMALL), "offers no claude model"),
        (words("local", "claude"), thinker(1), "offers no local or claude model"),
        (words("local", "claude"), thinker(1, CLAUDE), ""),
        (words("local"), worker(1, executors=frozenset({"model", "ollama"})), "offers no local model"),
        (words("local", capabilities=GPU), thinker(1, SMALL), "lacks gpu"),
        (words("local", target=2), thinker(1, SMALL), "the task is meant for another agent"),
        (words("local", repo=7), thinker(1, SMALL, repos=frozenset()), "may not work in this repository"),
        (Need("shell"), thinker(1, SMALL), ""),
        (Need("ollama"), thinker(1, SMALL), "offers no ollama executor"),
        (Need("model"), thinker(1, SMALL), "offers no model executor"),
    ],
)
def test_an_agent_fits_words_by_the_grades_of_its_models(need: Need, one: Worker, why: str) -> None:
    assert why == misfit(need, one)


@pytest.mark.parametrize(
    ("grades", "offers", "chosen"),
    [
        (("local",), (LARGE, CLAUDE, SMALL), SMALL),
        (("local", "claude"), (CLAUDE, LARGE), LARGE),
        (("claude", "local"), (SMALL, CLAUDE), CLAUDE),
        (("local",), (UNMEASURED, LARGE), LARGE),
        (("local",), (SMALL, replace(LARGE, warm=True)), replace(LARGE, warm=True)),
        (("local", "claude"), (replace(CLAUDE, warm=True), SMALL), SMALL),
        (("local",), (Offer("b", "b", "local"), Offer("a", "a", "local")), Offer("a", "a", "local")),
    ],
)
def test_of_the_models_of_a_machine_the_grade_decides_then_what_is_loaded_then_the_speed(
    grades: tuple[str, ...], offers: tuple[Offer, ...], chosen: Offer
) -> None:
    (made,) = pair([written(1, *grades)], [thinker(1, *offers)])

    assert chosen == made.offer


def written(task: int, *grades: str, rank: float = 0, **need: Any) -> Head:
    return Head(task, 0, rank, words(*grades, **need))


def at(offer: Offer, place: int, load: float = 0.0, **facts: Any) -> Offer:
    """The offer at an endpoint that has so much to do."""
    return replace(offer, place=Place(place, f"place-{place}", load, f"load {load:g}", **facts))


def place_of(made: Pair) -> int:
    return made.offer.place.id if made.offer and made.offer.place else 0


def test_where_there_is_less_to_do_goes_before_who_has_waited_longer() -> None:
    busy, calm = thinker(1, at(SMALL, 1, 1.0)), thinker(2, at(SMALL, 2, 0.6))
    (made,) = pair([written(1, "local")], [busy, calm])

    assert 2 == made.worker.id
    assert (("agent-1", "small at place-1 has more to do (load 1)"),) == made.losers
    assert "has no more to do there than others: load 0.6" in made.reasons


def test_loads_that_are_about_the_same_leave_it_to_who_has_waited_longest() -> None:
    idle = [thinker(1, at(SMALL, 1, 0.3)), thinker(2, at(SMALL, 2, 0.0))]

    assert [(1, 1)] == paired([written(1, "local")], idle)


def test_a_preferred_grade_wins_however_much_there_is_to_do() -> None:
    idle = [thinker(1, at(CLAUDE, 1)), thinker(2, at(SMALL, 2, 5.0))]

    assert [(1, 2)] == paired([written(1, "local", "claude")], idle)


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        pytest.param((at(SMALL, 1, shared=True), at(LARGE, 2)), 2, id="its own before a shared one"),
        pytest.param((at(SMALL, 1, shared=True), at(LARGE, 2, 0.9)), 1, id="unless its own has more to do"),
        pytest.param((at(SMALL, 1, turn=5, shared=True), at(SMALL, 2, turn=4, shared=True)), 2, id="who rested longer"),
        pytest.param((at(SMALL, 1, closed="is down"), at(UNMEASURED, 2, 9.0)), 2, id="what is down is not there"),
    ],
)
def test_of_several_endpoints_an_agent_uses(offers: tuple[Offer, ...], chosen: int) -> None:
    (made,) = pair([written(1, "local")], [thinker(1, *offers)])

    assert chosen == place_of(made)


def test_the_other_models_of_the_chosen_agent_are_losers_too_with_the_reason() -> None:
    own, far, shut = at(SMALL, 1), at(LARGE, 2, 2.0), at(LARGE, 3, closed="is being drained")
    (made,) = pair([written(1, "local")], [thinker(1, far, own, shut, at(UNMEASURED, 1), CLAUDE)])

    assert (
        ("agent-1", "large at place-2 has more to do (load 2)"),
        ("agent-1", "large at place-3 is being drained"),
        ("agent-1", f"{UNMEASURED.model} at place-1 comes after small at place-1"),
    ) == made.losers


@pytest.mark.parametrize(
    ("offers", "why"),
    [
        ((at(SMALL, 1, closed="is down"), CLAUDE), "has small at place-1, which is down"),
        ((at(SMALL, 1, closed="is down"), LARGE), ""),
    ],
)
def test_an_agent_whose_models_are_all_closed_does_not_fit(offers: tuple[Offer, ...], why: str) -> None:
    assert why == misfit(words("local"), thinker(1, *offers))


def test_what_is_given_away_in_one_go_counts_at_once() -> None:
    """Two idle agents share two endpoints: they do not both take the one that rested longest."""
    both = [at(SMALL, 1, turn=1, shared=True), at(SMALL, 2, turn=2, shared=True)]
    made = pair([written(task, "local") for task in (1, 2)], [thinker(1, *both), thinker(2, *both)])

    assert [1, 2] == [place_of(one) for one in made]


def test_equal_shared_endpoints_get_equal_shares_within_two() -> None:
    turns = {1: 0, 2: 0}
    shares: Counter[int] = Counter()
    warm: set[int] = set()
    for task in range(20):
        offers = [
            replace(at(SMALL, place, 0.0 if place in warm else 0.2, turn=turns[place], shared=True), warm=place in warm)
            for place in turns
        ]
        (made,) = pair([written(task, "local")], [thinker(1, *offers)])
        used = place_of(made)
        turns[used] = task + 1
        shares[used] += 1
        warm.add(used)

    assert abs(shares[1] - shares[2]) <= 2


def test_a_preferred_grade_wins_over_who_has_waited_longer() -> None:
    idle = [worker(1), thinker(2, CLAUDE), thinker(3, SMALL), thinker(4, LARGE)]
    (made,) = pair([written(1, "local", "claude")], idle)

    assert (3, SMALL) == (made.worker.id, made.offer)
    assert (
        ("agent-1", "offers no local or claude model"),
        ("agent-2", "has only a model of a later choice"),
        ("agent-4", "was used more recently"),
    ) == made.losers
    assert ("offers small (local) through ollama", "has waited longest among the idle agents with a local model") == (
        made.reasons
    )


@pytest.mark.parametrize(
    ("heads", "idle", "expected"),
    [
        pytest.param(
            [written(1, "local"), written(2, "claude")],
            [thinker(1, CLAUDE), thinker(2, SMALL)],
            [(1, 2), (2, 1)],
            id="each to its grade",
        ),
        pytest.param(
            [written(1, "local", "claude"), written(2, "local", rank=1)],
            [thinker(1, CLAUDE), thinker(2, SMALL)],
            [(1, 2)],
            id="the lower rank has its preference though another could not do without it",
        ),
        pytest.param(
            [written(1, "local", "claude"), written(2, "local", "claude", rank=1)],
            [thinker(1, CLAUDE), thinker(2, SMALL)],
            [(1, 2), (2, 1)],
            id="the next best for who comes second",
        ),
        pytest.param([written(1, "local")], [worker(1), thinker(2, CLAUDE)], [], id="nobody has the grade"),
        pytest.param([written(1, "local"), head(2)], [worker(1)], [(2, 1)], id="words leave the shell to commands"),
        pytest.param(
            [written(1, "local", target=2)], [thinker(1, SMALL), thinker(2, SMALL)], [(1, 2)], id="the one asked for"
        ),
    ],
)
def test_tasks_in_words_and_models_are_paired(
    heads: list[Head], idle: list[Worker], expected: list[tuple[int, int]]
) -> None:
    assert expected == paired(heads, idle)


def test_a_task_without_grades_has_no_offer_and_goes_by_turn() -> None:
    (made,) = pair([head(1)], [worker(1), thinker(2, SMALL)])

    assert (1, None) == (made.worker.id, made.offer)


def test_machines_with_equal_models_get_equal_shares_within_two() -> None:
    line = [thinker(1, LARGE), thinker(2, SMALL), thinker(3, UNMEASURED), thinker(4, CLAUDE)]
    shares: Counter[int] = Counter()
    for task in range(50):
        ((_, chosen),) = paired([written(task, "local", "claude")], line)
        shares[chosen] += 1
        line.append(line.pop(next(n for n, one in enumerate(line) if one.id == chosen)))

    assert {1, 2, 3} == set(shares)
    assert max(shares.values()) - min(shares.values()) <= 2


@pytest.mark.parametrize(
    ("connected", "said"),
    [
        ([], "No agent is connected."),
        ([thinker(1, SMALL)], "Every agent that fits is busy."),
        (
            [worker(1), thinker(2, CLAUDE)],
            "No connected agent fits: agent-1 offers no local model; agent-2 offers no local model.",
        ),
    ],
)
def test_why_a_task_in_words_waits_is_one_sentence(connected: list[Worker], said: str) -> None:
    assert said == explain(words("local"), {one.id: one for one in connected})
