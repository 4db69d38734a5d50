"""An Ollama dies: what waits for it goes around, its machine's command brings it back, and what waits returns to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar import config
from tests.hub import ROOT, Hub, eventually, free_port
from tests.journey import BRISK, Upstream, slow
from tests.providers.policy import Providers
from tests.sidecars import Sidecar, thinking

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(400)]

STARTS = """
import os, subprocess, sys
server = [sys.executable, "-m", "tests.providers.alone", sys.argv[2]]
kept = subprocess.Popen(server, cwd=sys.argv[1], start_new_session=True)
with open(sys.argv[3], "w") as file:
    file.write(str(kept.pid))
print("started")
"""


@dataclass
class Server:
    """An Ollama of ada's machine, and the command that starts it."""

    port: int
    pid: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", STARTS, str(ROOT), str(self.port), str(self.pid)]

    def kill(self) -> None:
        os.kill(int(self.pid.read_text()), signal.SIGKILL)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/version", timeout=2).is_success
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return BRISK | {"AGENTCOM_MODEL_PAUSE_SECONDS": "1"}


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Server]:
    made = Server(free_port(), base / "ollama.pid")
    subprocess.run(made.command, check=True)
    eventually(made.answers, what="the Ollama")
    yield made
    made.kill()


@pytest.fixture(scope="module")
def machines(hub: Hub, base: Path, providers: Providers, server: Server) -> Iterator[list[Sidecar]]:
    """ada has the Ollama and a command that starts it again, bob has the key."""
    with thinking(hub, base, ada={"OLLAMA_HOST": server.url}, bob=providers.claude_key) as crew:
        ada = crew[0]
        root = config.root_of("ada", ada.root)
        ada.end()
        config.save(root, config.load(root).model_copy(update={"restarts": {server.url: server.command}}))
        ada.start()
        yield crew


def endpoint(hub: Hub, server: Server) -> Any:
    """As REST shows it; None while nobody has told of it."""
    return next((one for one in hub.get("/api/endpoints")["results"] if one["url"] == server.url), None)


def health(hub: Hub, server: Server) -> str:
    return str((endpoint(hub, server) or {}).get("health"))


def reroutes(hub: Hub, task: int) -> list[list[str]]:
    """The grades that it was given, oldest first."""
    told = hub.get(f"/api/tasks/{task}/history?page_size=200")["results"]
    moves = [event for event in told if event["kind"] == "task.rerouted"]
    return [event["data"]["grades"] for event in sorted(moves, key=lambda event: event["id"])]


def in_words(upstream: Upstream) -> int:
    return upstream.fix(command="", description="add() in calc.py subtracts.", complexity_tier="standard")


def test_a_dead_ollama_is_passed_by_restarted_by_its_machine_and_returned_to(
    hub: Hub, crew: list[Sidecar], upstream: Upstream, server: Server
) -> None:
    eventually(lambda: health(hub, server) == "up", within=60, what="ada's Ollama")
    busy = slow(hub, 600, target_agent="ada")
    hub.await_status(busy, "working")
    hub.shell(
        "from apps.endpoints import rules; rules.change('standard', ['local', 'claude'], 3600, by='us'); print('ok')"
    )
    around = in_words(upstream)
    assert "queued" == hub.task(around)["status"]

    server.kill()
    eventually(lambda: health(hub, server) == "down", within=90, what="the endpoint down")
    hub.await_status(around, "completed", within=90)
    assert [["local", "claude"]] == reroutes(hub, around)
    assert "claude" == hub.task(around)["attempts"][-1]["executor"]

    also_busy = slow(hub, 600, target_agent="bob")
    hub.await_status(also_busy, "working", within=60)
    waiting = in_words(upstream)
    eventually(lambda: reroutes(hub, waiting) == [["local", "claude"]], what="the way around")
    found = endpoint(hub, server)
    hub.post(f"/api/endpoints/{found['id']}/restart")

    def restarted() -> Any:
        restart = endpoint(hub, server)["restart"]
        return restart if restart["outcome"] != "open" else None

    restart = eventually(restarted, within=60, what="the restart")
    assert ("done", "ada", "started") == (restart["outcome"], restart["agent"], restart["message"])
    eventually(lambda: health(hub, server) == "up", within=60, what="the endpoint up again")
    eventually(lambda: reroutes(hub, waiting) == [["local", "claude"], ["local"]], what="the way back")

    hub.post(f"/api/tasks/{busy}/cancel")
    hub.await_status(waiting, "completed", within=90)
    hub.post(f"/api/tasks/{also_busy}/cancel")
    attempt = hub.task(waiting)["attempts"][-1]
    assert ("ada", "ollama") == (attempt["agent"], attempt["executor"])
