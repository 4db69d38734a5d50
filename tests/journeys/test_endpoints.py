"""Endpoints that operators add, used by machines that have no model of their own; and a Claude that goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, eventually
from tests.journey import BRISK, Upstream
from tests.providers import ollama
from tests.providers.policy import FIX, Providers
from tests.sidecars import Sidecar, thinking

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def settings(providers: Providers) -> dict[str, str]:
    """A network of its own, in which the hub may look at the one Ollama there is."""
    port = providers.ollama.url.rpartition(":")[2]
    return BRISK | {
        "AGENTCOM_ENDPOINT_NETWORKS": "127.0.0.0/8",
        "AGENTCOM_ENDPOINT_PORTS": port,
        "AGENTCOM_MODEL_PAUSE_SECONDS": "1",
    }


@pytest.fixture(scope="module")
def machines(hub: Hub, base: Path, providers: Providers) -> Iterator[list[Sidecar]]:
    """ada has no model, bob has the key."""
    with thinking(hub, base, ada={}, bob=providers.claude_key) as crew:
        yield crew


@pytest.fixture(scope="module")
def endpoint(hub: Hub, machines: list[Sidecar], providers: Providers) -> str:
    """Added to the hub, tried by whoever reaches it, and offered; where it is in the API."""
    made = hub.post("/api/endpoints", {"url": providers.ollama.url, "name": "the box"})
    eventually(lambda: "ada" in _offering(hub, "ollama"), within=60, what="an offer of the hub's endpoint")
    return f"/api/endpoints/{made['id']}"


@pytest.fixture(autouse=True)
def quiet(providers: Providers, crew: list[Sidecar]) -> None:
    providers.policy.steps, providers.policy.silent = FIX, False


def _offering(hub: Hub, executor: str) -> set[str]:
    agents = hub.get("/api/agents")["results"]
    return {one["name"] for one in agents if any(model["executor"] == executor for model in one["models"])}


def in_words(upstream: Upstream, tier: str) -> int:
    return upstream.fix(command="", description="add() in calc.py subtracts.", complexity_tier=tier)


def hosts(hub: Hub) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hub.get("/api/hosts")["results"]
    return found


def waits(hub: Hub, task: int, word: str) -> Callable[[], Any]:
    return lambda: word in hub.task(task)["waits"]


def test_a_machine_without_a_model_works_with_the_hubs(
    hub: Hub, upstream: Upstream, providers: Providers, endpoint: str
) -> None:
    task = in_words(upstream, "standard")
    hub.await_status(task, "completed", within=90)
    upstream.verified_pull()
    attempt = hub.task(task)["attempts"][-1]
    shown = hub.get(endpoint)

    assert ("ollama", ollama.NAME) == (attempt["executor"], attempt["model"])
    assert "the box" == attempt["decision"]["endpoint"]
    assert ("up", "native") == (shown["health"], shown["models"][0]["dialect"])
    assert 12 == len(shown["models"][0]["trial"]["trials"])
    eventually(lambda: all(host["load"].get("cpu") is not None for host in hosts(hub)), what="a load")
    assert 1 == len(hosts(hub)), "both agents are on this one machine"


def test_a_drained_endpoint_gets_nothing_until_it_is_resumed(hub: Hub, upstream: Upstream, endpoint: str) -> None:
    hub.shell("from apps.endpoints import rules; rules.change('standard', ['local'], 120, by='us'); print('ok')")
    hub.post(f"{endpoint}/drain")
    task = in_words(upstream, "standard")
    eventually(waits(hub, task, "which is being drained"), what="the reason")
    drained = hub.task(task)
    hub.post(f"{endpoint}/resume")
    hub.await_status(task, "completed", within=60)

    assert ("queued", []) == (drained["status"], drained["attempts"])
    assert "the box" == hub.task(task)["attempts"][0]["decision"]["endpoint"]


def test_a_claude_that_is_gone_is_not_offered_and_the_chain_moves_on(
    hub: Hub, upstream: Upstream, providers: Providers, endpoint: str
) -> None:
    hub.shell("from apps.endpoints import rules; rules.change('complex', ['claude', 'local'], 1, by='us'); print('ok')")
    providers.claude.out_of_order = True
    task = in_words(upstream, "complex")
    hub.await_status(task, "completed", within=180)
    attempts = hub.task(task)["attempts"]

    assert ("released", "claude") == (attempts[0]["outcome"], attempts[0]["executor"])
    assert ("succeeded", "ollama") == (attempts[-1]["outcome"], attempts[-1]["executor"])
    assert 0 == hub.task(task)["failures"]
    assert not _offering(hub, "claude")
    providers.claude.out_of_order = False
    eventually(lambda: _offering(hub, "claude"), within=60, what="Claude back")


def test_a_removed_endpoint_is_offered_no_more(hub: Hub, endpoint: str) -> None:
    status, _ = hub.call("DELETE", endpoint)

    assert 204 == status
    eventually(lambda: not _offering(hub, "ollama"), within=30, what="the offer withdrawn")
