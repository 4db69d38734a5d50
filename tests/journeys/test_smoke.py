"""The smoke command against a real hub, with agents that are real sockets: none lost, none twice, spread evenly."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from apps.ops import valkey
from sidecar.wire import messages, nouns
from tests.agents import Wire, wire
from tests.hub import ROOT, Hub, hub_at

pytestmark = [pytest.mark.redis, pytest.mark.journey]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """With an embedded Valkey, where `make run` would start it."""
    data = tmp_path_factory.mktemp("hub")
    with valkey.start(data) as hints, hub_at(data, hints.url) as running:
        yield running


async def work(agent: Wire, *, dies_after: int | None = None) -> None:
    """Do whatever is assigned; `dies_after` so many, take one more and vanish without a word."""
    done = 0
    with contextlib.suppress(ConnectionClosed):  # the test is over
        while True:
            task = await agent.hear(messages.TaskAssign, within=60)
            await agent.say(messages.TaskAccepted(task=task.task, attempt=task.attempt))
            if done == dies_after:
                agent.socket.transport.abort()
                return
            completed = messages.TaskCompleted(task=task.task, attempt=task.attempt, result=nouns.Result(exit_code=0))
            await agent.say(completed)
            done += 1


@contextlib.asynccontextmanager
async def at_work(hub: Hub, *names: str, dying: str = "") -> AsyncIterator[None]:
    """Connected agents that work until the block ends; `dying` does so with its third task in hand."""
    secrets = await asyncio.to_thread(hub.agents, *names)
    async with contextlib.AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(wire(hub.url, secret)) for secret in secrets]
        for agent in agents:
            await agent.hello()
        jobs = [
            asyncio.create_task(work(agent, dies_after=2 if name == dying else None))
            for name, agent in zip(names, agents, strict=True)
        ]
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()
            ends = await asyncio.gather(*jobs, return_exceptions=True)
    assert not [end for end in ends if isinstance(end, Exception)]


async def smoke(hub: Hub, *arguments: str) -> tuple[int, str]:
    """The command's exit code and what it said; it has to find the hub by itself, as after `make run`."""
    env = {name: value for name, value in hub.env.items() if name != "REDIS_URL"}
    command = [sys.executable, str(ROOT / "manage.py"), "smoke", *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    return done.returncode, done.stdout + done.stderr


async def outcomes(hub: Hub, newest: int) -> list[list[tuple[str, str]]]:
    """Of each of the newest tasks: who tried it, and how that ended."""
    listed = (await asyncio.to_thread(hub.get, f"/api/tasks?page_size={newest}"))["results"]
    whole = [await asyncio.to_thread(hub.task, task["id"]) for task in listed]
    assert all(task["metadata"] == {"smoke": True} for task in whole)
    return [[(attempt["agent"], attempt["outcome"]) for attempt in task["attempts"]] for task in whole]


async def test_two_agents_do_ten_tasks_once_each(hub: Hub) -> None:
    async with at_work(hub, "ada", "bob"):
        code, said = await smoke(hub)
        tries = await outcomes(hub, 10)

    assert 0 == code, said
    assert "10/10 tasks completed" in said
    assert "none done twice" in said
    assert {"succeeded"} == {outcome for one in tries for _, outcome in one}
    assert Counter(ada=5, bob=5) == Counter(agent for one in tries for agent, _ in one)


async def test_what_a_killed_agent_held_is_done_once_by_the_other(hub: Hub) -> None:
    async with at_work(hub, "eve", "fay", dying="eve"):
        code, said = await smoke(hub)
        tries = await outcomes(hub, 10)

    assert 0 == code, said
    assert "10/10 tasks completed" in said
    assert [["eve", "reclaimed"], ["fay", "succeeded"]] == [list(end) for one in tries if len(one) > 1 for end in one]
    assert 10 == sum(outcome == "succeeded" for one in tries for _, outcome in one)


async def test_twenty_tasks_spread_evenly_over_four_agents(hub: Hub) -> None:
    names = ["gus", "hal", "ida", "jon"]
    async with at_work(hub, *names):
        code, said = await smoke(hub, "--agents", "4")
        tries = await outcomes(hub, 20)
    counts = Counter(agent for one in tries for agent, _ in one)

    assert 0 == code, said
    assert "20/20 tasks completed" in said
    assert all(abs(counts[name] - 5) <= 2 for name in names), counts


async def test_an_unfinished_task_is_an_exit_code(hub: Hub) -> None:
    async with at_work(hub, "kim", dying="kim"):
        code, said = await smoke(hub, "--agents", "1", "--patience", "4")
    left = (await asyncio.to_thread(hub.get, "/api/tasks?page_size=1"))["results"][0]
    await asyncio.to_thread(hub.post, f"/api/tasks/{left['id']}/cancel")

    assert 1 == code
    assert "2/10 tasks completed" in said
    assert "Something is wrong" in said


async def test_it_does_not_begin_without_enough_agents(hub: Hub) -> None:
    code, said = await smoke(hub, "--agents", "2")

    assert 1 == code
    assert "0 of the 2 agents" in said


async def test_it_does_not_begin_without_a_hub(tmp_path: Path) -> None:
    elsewhere = Hub(tmp_path, "", env={"AGENTCOM_DATA_DIR": str(tmp_path)})
    code, said = await smoke(elsewhere)

    assert 1 == code
    assert f"No hub runs on {tmp_path}" in said
