"""The scripted Ollama server is strict itself, so that what passes with it would with a real one."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from sidecar.agent import faults
from sidecar.agent.models.ollama import Ollama
from tests.providers.ollama import NAME, Answer, OllamaServer, serving
from tests.sidecar.agent.ollama_questions import CONTEXT, question


def sloppy(**changes):
    body = {
        "model": NAME,
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        "stream": True,
        "think": False,
        "truncate": False,
        "shift": False,
        "options": {"num_ctx": CONTEXT},
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def orphan(role="tool", **fields):
    return [{"role": "user", "content": "U"}, {"role": role, "content": "O", **fields}]


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        (sloppy(max_tokens=5), "unknown field max_tokens"),
        (sloppy(options={"temperature": 0}), "no options.num_ctx"),
        (sloppy(options=None), "no options.num_ctx"),
        (sloppy(options={"num_ctx": 99}), "another num_ctx, which loads the model again"),
        (sloppy(truncate=None), "truncate is not false"),
        (sloppy(shift=True), "shift is not false"),
        (sloppy(stream=False), "stream is not true"),
        (sloppy(think=None), "no think"),
        (sloppy(messages=orphan(tool_name="read_file")), "an orphan tool message"),
        (sloppy(messages=orphan("assistant", thinking="Hm")), "unknown field thinking in a message of role assistant"),
        (sloppy(messages=[{"role": "system", "content": "T"}, {"role": "user", "content": "U"}]), "a changed prefix"),
        (sloppy(tools=[{"type": "function", "function": {"name": "x"}}]), "a changed prefix"),
    ],
)
async def test_the_scripted_server_takes_no_sloppy_request(server, body, violation):
    server.script.append(Answer(text="Good."))
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        good = await client.post("/api/chat", json=sloppy())
        refused = await client.post("/api/chat", json=body)

    assert (200, 400) == (good.status_code, refused.status_code)
    assert violation in server.violations
    assert violation in refused.json()["error"]
    server.violations.clear()


async def test_serving_fails_at_its_end_after_a_violation():
    with pytest.raises(AssertionError, match="no think"):
        async with serving(OllamaServer()) as strict, httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{strict.url}/api/chat", content=json.dumps(sloppy(think=None)))


async def test_serving_fails_at_its_end_with_what_a_player_raised():
    def player(_asked):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask_in_vain(player)


async def ask_in_vain(player):
    async with serving(OllamaServer(player=player)) as strict:
        client = Ollama(url=strict.url, model=NAME, context=CONTEXT)
        with pytest.raises(faults.Unreachable):
            await client.reply(question())
        await client.close()


async def test_serving_does_not_wait_for_a_player_that_is_never_done():
    begun = asyncio.Event()

    async def player(_asked):
        begun.set()
        await asyncio.Event().wait()

    async with serving(OllamaServer(player=player)) as server:
        client = Ollama(url=server.url, model=NAME, context=CONTEXT)
        asking = asyncio.create_task(client.reply(question()))
        await asyncio.wait_for(begun.wait(), 10)

    with pytest.raises(faults.Unreachable):
        await asking
    await client.close()
