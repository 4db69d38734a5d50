"""The server that the tests of Claude's client ask is strict: it refuses what Anthropic refuses, and notes it."""

import httpx2
import pytest

from sidecar.agent.models.claude import Claude
from tests.providers.anthropic import KEY, NAME, Answer, AnthropicServer, serving
from tests.providers.asking_claude import asking, result

DO = [{"type": "text", "text": "Do."}]
GOOD = {
    "model": NAME,
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": DO}],
}
USE = {"type": "tool_use", "id": "a", "name": "read_file", "input": {}}
MARKED = {"type": "text", "text": "Do.", "cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "of nobody"}


@pytest.fixture
async def server():
    async with serving(AnthropicServer()) as opened:
        yield opened


async def post(server, body, headers=None):
    named = {"anthropic-version": "2026-10-21", "x-api-key": KEY} if headers is None else headers
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(f"{server.url}/v1/messages", json=body, headers=named)


def talk(*contents):
    roles = ["user", "assistant"] * len(contents)
    return {
        **GOOD,
        "messages": [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)],
    }


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "temperature": 1.0},
        {**GOOD, "of_tomorrow": 1},
        {**GOOD, "tool_choice": {"type": "any"}},
        {name: value for name, value in GOOD.items() if name != "max_tokens"},
        talk(DO, [USE], DO),
        talk([result("a", "{}")]),
        talk(DO, [USE], [result("a", "{}"), {"type": "text", "text": "Hurry."}]),
        talk(DO, [{"type": "text", "text": "The answer is"}]),
        talk([MARKED] * 5),
        talk(DO, [THOUGHT, {"type": "text", "text": "Yes."}], DO),
        talk([{"type": "text", "text": " "}]),
    ],
)
async def test_a_sloppy_request_is_refused_and_noted(body):
    server = AnthropicServer()

    with pytest.raises(AssertionError):
        async with serving(server):
            answer = await post(server, body)

    assert (400, "invalid_request_error") == (answer.status_code, answer.json()["error"]["type"])
    assert 1 == len(server.violations)


@pytest.mark.parametrize("headers", [{"x-api-key": KEY}, {"anthropic-version": "2026-10-21"}])
async def test_a_request_without_its_headers_is_refused_and_noted(headers):
    server = AnthropicServer()

    with pytest.raises(AssertionError):
        async with serving(server):
            assert 400 == (await post(server, GOOD, headers)).status_code


async def test_thinking_that_is_dropped_or_changed_is_noted():
    server = AnthropicServer(player=lambda _: Answer(text="Yes.", thinking="Hm."))
    said = {"type": "text", "text": "Yes."}
    changed = {"type": "thinking", "thinking": "Ha!", "signature": "signed-1-by-us=="}

    async def three_requests():
        async with serving(server):
            await post(server, GOOD)
            await post(server, talk(DO, [said], DO))
            await post(server, talk(DO, [changed, said], DO))

    with pytest.raises(AssertionError):
        await three_requests()

    assert ["messages.1: `thinking` was dropped"] == server.violations[:1]
    assert 2 == len(server.violations)


async def test_a_good_request_gets_the_events_in_their_order(server):
    server.script.append(Answer(text="Yes.", thinking="Hm."))

    answer = await post(server, GOOD)

    names = [line.removeprefix("event: ") for line in answer.text.split("\n") if line.startswith("event: ")]
    assert ["message_start", "ping", "content_block_start"] == names[:3]
    assert ["content_block_stop", "message_delta", "message_stop"] == names[-3:]


async def test_a_player_answers_what_it_is_asked():
    async def player(asked):
        return Answer(text=f"{len(asked.messages)} {asked.last['role']} {asked.tools}")

    async with serving(AnthropicServer(player=player)) as server:
        claude = Claude(model=NAME, api_key=KEY, base_url=server.url)
        reply = await claude.reply(asking())
        await claude.close()

    assert "1 user ['read_file', 'run_command']" == reply.text
