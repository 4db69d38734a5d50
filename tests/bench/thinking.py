"""What the loop, the sidecar and the hub cost around a model that answers at once: a scripted one, on Ollama's wire."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ollama

from apps.demo.loopback import listening
from apps.demo.ollama import NAME, Answer, Asked, OllamaServer
from sidecar import config, minds
from sidecar.agent import prompts
from sidecar.agent.context import FIRST_GUESS
from sidecar.agent.dialects.base import Dialect
from sidecar.agent.dialects.fenced import Fenced
from sidecar.agent.dialects.native import Native
from sidecar.agent.tools.specs import SPECS
from sidecar.bench import Room
from sidecar.config import Thinker
from sidecar.executors import Job, Sandbox
from sidecar.wire.nouns import Brief, Check
from tests.hub import Hub, eventually
from tests.providers.running import Running
from tests.sidecars import Sidecar

Say = Callable[..., float]
CONTEXT = 131_072
SMALL = Brief(title="Add up the parts of a duration", description="`1h30m` is read as half an hour.")
SUITE = [Check(type="command_succeeds", target="python3 -m unittest discover -s tests -t .")]


def loop(say: Say, *, steps: int, runs: int) -> None:
    """Everything of a step but the model and the tool, beside a bare client that says the same to the same server."""
    overheads, bare = [], []
    for _ in range(runs):
        ours, theirs = asyncio.run(_one_run(steps))
        overheads.append(ours)
        bare.append(theirs)
    middle = say(f"loop, a step without model and tool ({steps} steps)", overheads, "ms")
    client = say("a bare client's call of the same server", bare, "ms")
    print(f"  {'':<52} {middle / client:8.2f} of the bare call")


async def _one_run(steps: int) -> tuple[float, float]:
    """Milliseconds a step: ours beyond model and tools, and the bare client's whole call."""

    def play(asked: Asked) -> Answer:
        done = sum(message["role"] == "tool" for message in asked.messages)
        if done == steps:
            return Answer(calls=[{"name": "finish_task", "arguments": {"summary": "done"}}])
        return Answer(calls=[{"name": "read_file", "arguments": {"path": f"file{done}.txt"}}])

    async with listening(OllamaServer(player=play)) as server:
        with tempfile.TemporaryDirectory() as directory:
            tree = Path(directory) / "tree"
            tree.mkdir()
            for number in range(steps):
                (tree / f"file{number}.txt").write_text(f"{number}\n" * 20)
            thinker = Thinker(executor="ollama", model=NAME, url=server.url, context=CONTEXT)
            job = Job(
                task=1,
                attempt=1,
                generation=1,
                brief=SMALL,
                timeout_seconds=600,
                model=NAME,
                steps=steps + 5,
                checks=[],
            )
            began = time.perf_counter()
            done = await minds.executors([thinker])["ollama"].execute(job, Room(tree), Sandbox(), _nobody)
            whole = (time.perf_counter() - began) * 1000
        assert done.succeeded, done.message
        outside = sum(step.model_ms + sum(use.duration_ms for use in step.uses) for step in done.trajectory)
        return (whole - outside) / len(done.trajectory), await _bare(server.url, server.asked)


async def _bare(url: str, asked: Sequence[Asked]) -> float:
    """The same requests by the package alone, one after the other."""
    client = ollama.AsyncClient(host=url, trust_env=False, timeout=60)
    began = time.perf_counter()
    for one in list(asked):
        body = {name: one.body[name] for name in ("model", "messages", "tools", "options", "think", "keep_alive")}
        request = await client._client.post(
            "/api/chat", json={**body, "stream": True, "truncate": False, "shift": False}
        )
        assert request.status_code == 200, request.text
    return (time.perf_counter() - began) * 1000 / len(asked)


def _nobody(kind: str, text: str, **_: Any) -> None:
    return


def overhead() -> None:
    """Tokens of a first request before anything of the repository is in it, at 3.3 characters a token."""
    dialects: list[Dialect] = [Native(), Fenced()]
    for dialect in dialects:
        tools = [
            {"name": s.name, "description": s.description, "parameters": s.parameters} for s in dialect.specs(SPECS)
        ]
        text = prompts.system(dialect.instructions(SPECS)) + json.dumps(tools) + prompts.frame(SMALL, SUITE, steps=10)
        print(f"  {f'first request, {dialect.name} calls':<52} {len(text) / FIRST_GUESS:8.0f} tokens")


def first_byte(say: Say, hub: Hub, root: Path, *, times: int) -> None:
    """From just before the POST of a task in words until its first request is at the model."""
    arrived: list[float] = []

    def play(asked: Asked) -> Answer:
        first = str(asked.messages[1]["content"])
        if "Measured" in first and not any(message["role"] == "tool" for message in asked.messages):
            arrived.append(time.perf_counter())
        return Answer(calls=[{"name": "finish_task", "arguments": {"summary": "done"}}])

    running = Running(listening(OllamaServer(player=play)))
    server = running.start()
    machine = Sidecar(hub, "thinker", root)
    try:
        machine.join("--no-models")
        known = config.load(config.root_of("thinker", root))
        thinker = Thinker(executor="ollama", model=NAME, url=server.url, context=CONTEXT)
        config.save(config.root_of("thinker", root), known.model_copy(update={"models": [thinker]}))
        machine.start()
        eventually(lambda: hub.get("/api/agents/thinker")["state"] == "idle", what="the sidecar")
        taken = [_once(hub, arrived) for _ in range(times)]
    finally:
        machine.end()
        running.stop()
    say("task in words: POST to first request at the model", taken, "ms")


def _once(hub: Hub, arrived: list[float]) -> float:
    arrived.clear()
    began = time.perf_counter()
    task = hub.submit(title="Measured", command="", description="Say that it is done.", max_attempts=1)
    hub.await_status(task, "completed", "dead", within=60)
    return (statistics.median(arrived) - began) * 1000
