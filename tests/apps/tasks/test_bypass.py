"""Around an endpoint that is down: at once to the next grade that can be had, and back when the own one is offered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.agents import presence
from apps.agents.models import Agent
from apps.endpoints import actions, reports
from apps.endpoints.models import TIERS, Endpoint, Model, RoutingRule
from apps.endpoints.ollama import Looked, Seen
from apps.endpoints.rules import change
from apps.events import hints
from apps.events.models import Event
from apps.ledger import prices
from apps.ledger.pricing import Unpriced
from apps.tasks import attempts, fallback, jobs, wake
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Demand, Task
from apps.tasks.routing import bypassing
from apps.tasks.sweep import sweep
from tests import cast
from tests.model.crew import Crew

HERE = "http://127.0.0.1:11434"
GPU = "http://gpu.example.org:11434"
LOCAL = {
    "executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 40.0, "url": HERE, "digest": "d",
    "context": 8_192, "dialect": "native", "warm": True,
}  # fmt: skip
HOUSE = {**LOCAL, "model": "qwen3:235b", "grade": "house", "url": ""}
CLAUDE = {**LOCAL, "executor": "claude", "model": "claude-sonnet-5", "grade": "claude", "url": ""}
CHAIN = ["local", "house", "claude"]
in_database = pytest.mark.django_db


def words(tier: str = "standard", **wanted: Any) -> Task:
    return cast.queued_task(command="", tier=tier, **wanted)


def states(health: str, url: str = HERE) -> list[dict[str, Any]]:
    return [{"kind": "ollama", "url": url, "health": health, "unfit": [], "trouble": "", "version": ""}]


def with_ollama(name: str, **facts: Any) -> Agent:
    """An agent with an Ollama on its own machine."""
    return cast.agent(name, offers=[LOCAL], endpoints=states("up"), host={"machine": f"machine of {name}"}, **facts)


def loses(agent: Agent, *others: dict[str, Any]) -> None:
    """Its Ollama is down; what it can do without it, it offers still."""
    presence.offer(agent, others, states("down"))


def regains(agent: Agent, *others: dict[str, Any]) -> None:
    presence.offer(agent, [LOCAL, *others], states("up"))


def facts(task: Task) -> tuple[list[str], list[str]]:
    found = Task.objects.get(pk=task.pk)
    return found.grades, found.grades_before


def reroutes(task: Task) -> list[tuple[list[str], str]]:
    told = Event.objects.filter(kind="task.rerouted", subject=f"task/{task.pk}").order_by("pk")
    return [(event.data["grades"], event.data["reason"]) for event in told]


def busy(agent: Agent) -> Attempt:
    """It has something else to do."""
    return cast.assigned(cast.queued_task(lane=0, target=agent))


AROUND = (["local", "claude"], "an endpoint is down, and nobody else offers local")
BACK = (["local"], "local can be had again")


@pytest.mark.parametrize(
    ("grades", "offered", "expected"),
    [
        (["local"], {"house", "claude"}, ("local", "house")),
        (["local"], {"claude"}, ("local", "house", "claude")),
        (["local", "house"], {"claude"}, ("local", "house", "claude")),
        (["local"], set(), None),
        (["claude"], {"local", "house"}, None),  # those before it may have been passed over for not being able to
        (["local", "house", "claude"], {"local"}, None),
        (["gone"], {"local"}, ("gone", "local")),
        ([], {"local"}, ("local",)),
    ],
)
def test_the_way_around_goes_on_along_the_chain_to_what_can_be_had(
    grades: list[str], offered: set[str], expected: tuple[str, ...] | None
) -> None:
    assert expected == bypassing(grades, CHAIN, lambda wider: bool(offered.intersection(wider)))


@in_database
def test_what_waits_for_an_endpoint_that_went_down_goes_to_the_next_grade_at_once() -> None:
    ada = with_ollama("ada")
    claude = cast.agent("claude", offers=[CLAUDE])
    cast.assigned(words())
    task = words()
    assert 0 == match()
    loses(ada)
    done = sweep()

    assert (1, 0, 1) == (done.bypassed, done.widened, done.matched)
    assert (["local", "claude"], ["local"]) == facts(task)
    assert [AROUND] == reroutes(task)
    assert claude.pk == Attempt.objects.open().get(task=task).agent_id


@in_database
def test_the_event_of_an_endpoint_alone_brings_them_there_and_back() -> None:
    ada = with_ollama("ada")
    claude = cast.agent("claude", offers=[CLAUDE])
    busy(claude)
    task = words(lane=3)
    loses(ada)
    number = Endpoint.objects.get().pk
    jobs.reroute(number)
    around = facts(task)
    busy(ada)
    regains(ada)
    jobs.reroute(number)

    assert (["local", "claude"], ["local"]) == around
    assert (["local"], []) == facts(task)
    assert [AROUND, BACK] == reroutes(task)


@in_database
def test_both_ways_are_gone_once_however_often_they_are_asked_for() -> None:
    ada = with_ollama("ada")
    busy(cast.agent("claude", offers=[CLAUDE]))
    task = words()
    loses(ada)

    assert (1, 0, 0) == (fallback.bypass(), fallback.bypass(), fallback.restore())
    regains(ada)
    assert (0, 1, 0, 0) == (fallback.bypass(), fallback.restore(), fallback.restore(), fallback.bypass())
    assert [AROUND, BACK] == reroutes(task)


@in_database
def test_as_long_as_somebody_else_offers_the_grade_nothing_moves() -> None:
    ada = with_ollama("ada")
    ben = with_ollama("ben")
    cast.agent("claude", offers=[CLAUDE])
    busy(ben)
    task = words()
    loses(ada)

    assert 0 == fallback.bypass()
    assert (["local"], []) == facts(task)


@in_database
def test_a_machine_that_is_gone_is_no_endpoint_that_is_down() -> None:
    ada = with_ollama("ada")
    task = words()
    loses(ada)
    cast.agent("claude", offers=[CLAUDE])
    presence.leave(ada, str(cast.fresh(ada).connection))

    assert 0 == fallback.bypass()
    assert (["local"], []) == facts(task)


@in_database
def test_where_no_grade_can_be_had_it_waits_for_its_own() -> None:
    ada = with_ollama("ada")
    task = words()
    loses(ada)

    assert 0 == fallback.bypass()
    assert [] == reroutes(task)


@in_database
def test_grades_that_nobody_offers_are_passed_by_as_well() -> None:
    change("standard", CHAIN, 120, by="tests")
    ada = with_ollama("ada")
    busy(cast.agent("claude", offers=[CLAUDE]))
    task = words()
    loses(ada)

    assert 1 == fallback.bypass()
    assert (CHAIN, ["local"]) == facts(task)


@in_database
def test_a_second_bypass_still_remembers_the_first_grades() -> None:
    change("standard", CHAIN, 120, by="tests")
    ada = with_ollama("ada")
    house = cast.agent("house", offers=[HOUSE])
    busy(house)
    busy(cast.agent("claude", offers=[CLAUDE]))
    task = words()
    loses(ada)
    assert 1 == fallback.bypass()
    presence.offer(house, [], [])

    assert 1 == fallback.bypass()
    assert (CHAIN, ["local"]) == facts(task)
    regains(ada)
    assert 1 == fallback.restore()
    assert (["local"], []) == facts(task)


@in_database
def test_an_operators_endpoint_that_the_hub_finds_down_is_passed_by_and_returned_to() -> None:
    endpoint = actions.add(GPU, by="olga")
    seen = Looked("1", ("qwen3:8b",), (Seen("qwen3:8b", "d", 8_192, ("completion", "tools")),))
    reports.looked(endpoint, seen)
    ada = cast.agent("ada", offers=[{**LOCAL, "url": GPU}])
    busy(cast.agent("claude", offers=[CLAUDE]))
    busy(ada)
    task = words()
    for _ in range(2):
        reports.looked(endpoint, None, "no answer")

    assert 1 == fallback.bypass()
    reports.looked(endpoint, seen)
    assert 1 == fallback.restore()
    assert [AROUND, BACK] == reroutes(task)


@in_database
def test_an_endpoint_that_is_drained_is_not_down() -> None:
    ada = with_ollama("ada")
    cast.agent("claude", offers=[CLAUDE])
    words()
    loses(ada)
    actions.drain(Endpoint.objects.get(), by="olga")

    assert 0 == fallback.bypass()


@in_database
def test_what_only_one_machine_may_do_goes_around_only_on_that_machine() -> None:
    ada = with_ollama("ada")
    cast.agent("claude", offers=[CLAUDE])
    task = words(target=ada)
    loses(ada)
    assert 0 == fallback.bypass()

    loses(ada, CLAUDE)
    assert 1 == fallback.bypass()
    assert (["local", "claude"], ["local"]) == facts(task)


@in_database
def test_what_was_assigned_meanwhile_is_left_alone_and_what_comes_back_unfinished_gets_its_own_grade() -> None:
    ada = with_ollama("ada")
    cast.agent("claude", offers=[CLAUDE])
    task = words()
    loses(ada)
    fallback.bypass()
    attempt = cast.working(task)
    regains(ada)

    assert 0 == fallback.restore()
    assert (["local", "claude"], ["local"]) == facts(task)
    busy(ada)
    attempts.release(cast.fence(attempt), "drained", "")
    cast.rest(task)
    assert 1 == sweep().restored
    assert (["local"], []) == facts(task)


@in_database
def test_what_moved_on_after_a_failure_is_not_brought_back() -> None:
    change("standard", CHAIN, 120, by="tests")
    ada = with_ollama("ada")
    house = cast.agent("house", offers=[HOUSE])
    task = words()
    loses(ada)
    fallback.bypass()
    assert house.pk == cast.working(task).agent_id
    attempts.fail(cast.fence(Attempt.objects.open().get(task=task)), "stuck", "Round and round.", {}, ())
    assert (["claude"], []) == facts(task)
    regains(ada)
    cast.rest(task)

    assert 0 == sweep().restored
    assert (["claude"], []) == facts(task)


@in_database
def test_what_escalated_before_is_not_sent_back_to_the_grade_that_was_not_able_to() -> None:
    ada = with_ollama("ada")
    task = words()
    cast.working(task)
    attempts.fail(cast.fence(Attempt.objects.open().get(task=task)), "stuck", "Round and round.", {}, ())
    cast.rest(task)
    down = Endpoint.objects.create(place=GPU, url=GPU, grade="claude", health="down")
    Model.objects.create(endpoint=down, name="big")

    assert (0, 0) == (fallback.bypass(), sweep().matched)
    assert (["claude"], []) == facts(task)
    assert ada.online


@in_database
@pytest.mark.parametrize(("paid_for", "remembered"), [("local", []), ("house", ["local"])])
def test_only_what_cannot_be_paid_among_its_own_grades_is_forgotten(paid_for: str, remembered: list[str]) -> None:
    change("standard", CHAIN, 120, by="tests")
    ada = with_ollama("ada")
    busy(cast.agent("house", offers=[HOUSE]))
    task = words()
    loses(ada)
    fallback.bypass()
    fallback.unaffordable(task.pk, 0, paid_for, Unpriced("of-tomorrow"))

    assert remembered == facts(task)[1]


@in_database
def test_a_hub_whose_endpoints_are_well_is_asked_next_to_nothing(django_assert_num_queries: Any) -> None:
    with_ollama("ada")
    for _ in range(5):
        words()
    with django_assert_num_queries(1):
        assert 0 == fallback.bypass()
    with django_assert_num_queries(1):
        assert 0 == fallback.restore()


# --- at the same moment -----------------------------------------------------------------------------------------------


@in_database
def test_a_task_that_was_taken_or_moved_in_this_moment_stays_as_it_is() -> None:
    ada = with_ollama("ada")
    task = Task.objects.get(pk=words().pk)
    late = Task.objects.get(pk=task.pk)
    cast.assigned(task)

    assert 0 == fallback._bypass(late, ["local", "claude"])
    assert (["local"], [], []) == (*facts(task), reroutes(task))
    assert TaskStatus.ASSIGNED == cast.status_of(task)
    assert ada.online


@pytest.fixture
def crew(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr(hints, "send", lambda _: None)
    monkeypatch.setattr(wake, "_match", lambda: None)
    prices.load()
    for tier in TIERS:
        RoutingRule.objects.update_or_create(tier=tier, defaults={"chain": ["local", "claude"], "wait_seconds": 120})
    found = Crew(3)
    yield found
    found.dismiss()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_that_go_around_and_a_matcher_at_once_move_each_task_once_there_and_once_back(crew: Crew) -> None:
    ada = with_ollama("ada")
    claudes = [cast.agent(offers=[CLAUDE]) for _ in range(3)]
    tasks = [words() for _ in range(12)]
    loses(ada)
    crew.do([fallback.bypass, fallback.bypass, match])
    crew.do([fallback.bypass, fallback.bypass, match])
    taken = set(Attempt.objects.open().values_list("task", flat=True))
    regains(ada)
    crew.do([fallback.restore, fallback.restore, match])
    fallback.restore()
    told = {task.pk: reroutes(task) for task in tasks}

    assert {agent.pk for agent in claudes} == set(
        Attempt.objects.filter(task__in=taken).values_list("agent", flat=True)
    )
    assert all([AROUND] == told[task.pk] for task in tasks if task.pk in taken)
    assert all(told[task.pk] in ([AROUND, BACK], [AROUND]) for task in tasks)
    queued = Task.objects.filter(status=TaskStatus.QUEUED)
    assert [(["local"], [])] * queued.count() == list(queued.values_list("grades", "grades_before"))
    assert not Demand.objects.exclude(own=[]).filter(pk__in=queued.values("demand")).exists()
