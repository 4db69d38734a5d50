"""Agents, looks and operators at the same endpoints at once, on the database that allows it: nobody waits in a ring."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from apps.agents import presence
from apps.agents.models import Agent
from apps.endpoints import actions, ollama, reports
from apps.endpoints.models import Endpoint, Model
from apps.events import hints
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt
from tests import cast
from tests.model.crew import Crew

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
ROUNDS = 8
URLS = [f"http://gpu-{number}.example.org:11434" for number in range(10)]


@pytest.fixture
def crew(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr(hints, "send", lambda _: None)
    found = Crew(6)
    yield found
    found.dismiss()


def joining(agent: Agent, urls: list[str], health: str) -> None:
    states = [{"kind": "ollama", "url": url, "health": health, "unfit": []} for url in urls]
    offers = [_offer(url) for url in urls]
    host = {"machine": f"machine-of-{agent.pk}", "load": {"cpu": 1.0}}
    presence.join(agent, f"c-{agent.pk}", {**cast.FACTS, "host": host, "endpoints": states, "offers": offers})


def _offer(url: str) -> dict[str, Any]:
    fixed = {"executor": "ollama", "grade": "local", "context": 1, "dialect": "native", "digest": "d", "warm": True}
    return {**fixed, "model": "m", "url": url, "tokens_per_second": 1.0, "trials": [], "context_measured": 0}


def test_agents_that_tell_of_the_same_endpoints_in_any_order_do_not_wait_in_a_ring(crew: Crew) -> None:
    ada, ben = Agent.objects.create(name="ada"), Agent.objects.create(name="ben")
    ours = actions.add("http://ours.example.org:11434", by="olga")
    names = tuple(f"m{number}" for number in range(9))
    for number in range(ROUNDS):
        health = "down" if number % 2 else "up"
        seen = tuple(ollama.Seen(name, f"d{number}") for name in names)
        crew.do(
            [
                partial(joining, ada, [*URLS, ours.url], health),
                partial(joining, ben, [ours.url, *reversed(URLS)], health),
                partial(reports.looked, ours, ollama.Looked("1", names, seen)),
                partial(reports.looked, ours, ollama.Looked("1", names[::-1], seen[::-1])),
            ]
        )

    assert len(URLS) + 1 == Endpoint.objects.count()
    assert len(names) == Model.objects.filter(endpoint=ours, installed=True).count()


def test_an_endpoint_is_removed_while_work_is_given_to_it_and_nothing_breaks(crew: Crew) -> None:
    for number in range(ROUNDS):
        endpoint = actions.add(f"http://ours-{number}.example.org:11434", by="olga")
        agent = Agent.objects.create(name=f"agent-{number}")
        joining(agent, [endpoint.url], "up")
        cast.queued_task(command="", tier="standard")
        crew.do([match, partial(actions.remove, endpoint, by="olga")])

    assert not Endpoint.objects.exists()
    assert not Attempt.objects.filter(endpoint__isnull=False).exists()
