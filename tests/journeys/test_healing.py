"""An Ollama dies that nobody can do without: the hub finds out, has it started again, and goes on, and no person helps.

In a hub of its own: an endpoint is restarted once a minute at most, and the hub rests after healing.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.hub import Hub, eventually
from tests.journey import Upstream, slow
from tests.journeys import test_endpoint_restart as dying
from tests.journeys.test_endpoint_restart import Server, endpoint, health, in_words
from tests.sidecars import Sidecar

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(400)]
settings, server, machines = dying.settings, dying.server, dying.machines


def test_when_nobody_else_can_do_what_waits_the_hub_heals_its_ollama_by_itself(
    hub: Hub, crew: list[Sidecar], upstream: Upstream, server: Server
) -> None:
    """From the miss to the recovery, no person does anything: health report, state, remedy, outcome."""
    hub.shell("from apps.endpoints import rules; rules.change('standard', ['local'], 3600, by='us'); print('ok')")
    eventually(lambda: health(hub, server) == "up", within=60, what="ada's Ollama")
    busy = slow(hub, 600, target_agent="ada")
    hub.await_status(busy, "working", within=60)
    waiting = in_words(upstream)

    server.kill()
    eventually(lambda: health(hub, server) == "down", within=90, what="the endpoint down")

    def healed() -> Any:
        return [one for one in hub.get("/api/healing")["results"] if one["category"] == "endpoints"]

    eventually(healed, within=90, what="a remedy for the endpoint")
    eventually(lambda: health(hub, server) == "up", within=90, what="the endpoint up again")
    hub.post(f"/api/tasks/{busy}/cancel")
    hub.await_status(waiting, "completed", within=90)
    stays = hub.get("/api/brain/history")["results"]
    assert "healing" in [stay["state"] for stay in stays]
    eventually(lambda: hub.get("/api/brain")["state"] != "healing", within=60, what="the end of healing")
    assert "done" in [one["outcome"] for one in healed()]
    assert ("done", "ada") == (endpoint(hub, server)["restart"]["outcome"], endpoint(hub, server)["restart"]["agent"])
