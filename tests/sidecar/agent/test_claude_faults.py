"""An answer of Claude's API that is an error, or none at all, is a fault by name; nothing is asked again in secret."""

import asyncio
from datetime import UTC, datetime

import httpx2
import pytest

from sidecar.agent import faults
from sidecar.agent.models import claude_faults
from sidecar.agent.models.claude import Claude
from sidecar.agent.models.claude_faults import fault_of, retry_after_seconds
from sidecar.agent.talk import Usage
from tests.providers.anthropic import KEY, NAME, Answer, AnthropicServer, Fault, serving
from tests.providers.asking_claude import asking, fault_from

LIMIT = "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length"


@pytest.fixture
async def server():
    async with serving(AnthropicServer()) as opened:
        yield opened


@pytest.fixture
async def claude(server):
    model = Claude(model=NAME, api_key=KEY, base_url=server.url)
    yield model
    await model.close()


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ((400, "invalid_request_error", "prompt is too long: 209353 tokens > 200000 maximum"), faults.ContextOverflow),
        ((400, "invalid_request_error", LIMIT), faults.ContextOverflow),
        ((400, "invalid_request_error", "temperature: Extra inputs are not permitted"), faults.Refused),
        ((400, "invalid_request_error", "tool_choice forces tool use, which is not supported"), faults.Refused),
        ((400, "invalid_request_error", "messages.2: `tool_result` without its `tool_use`"), faults.Refused),
        ((400, "invalid_request_error", "max_tokens: 99999 > 64000, which is the maximum allowed"), faults.Refused),
        ((401, "authentication_error", "invalid x-api-key"), faults.Unauthorized),
        ((402, "billing_error", "Your credit balance is too low"), faults.Refused),
        ((403, "permission_error", "Not allowed"), faults.Unauthorized),
        ((404, "not_found_error", "model: claude-nobody-9"), faults.ModelMissing),
        ((404, "not_found_error", "Not found"), faults.Refused),
        ((413, "request_too_large", "Request exceeds the maximum size"), faults.ContextOverflow),
        ((413, "invalid_request_error", "An image has no size"), faults.Refused),
        ((429, "rate_limit_error", "Number of request tokens has exceeded your rate limit"), faults.RateLimited),
        ((500, "api_error", "Internal server error"), faults.ServerError),
        ((502, "api_error", "Bad gateway"), faults.ServerError),
        ((503, "api_error", "Service unavailable"), faults.Busy),
        ((504, "timeout_error", "Timed out"), faults.ServerError),
        ((529, "overloaded_error", "Overloaded"), faults.Busy),
    ],
)
async def test_an_error_is_a_fault_by_name(server, claude, error, fault):
    status, kind, message = error
    server.script.append(Fault(name="status", status=status, kind=kind, message=message))

    caught = await fault_from(claude)

    assert fault is type(caught)
    assert message in caught.message
    assert {} == caught.usage.by_class()
    assert 1 == len(server.asked)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"retry-after": "17"}, 17.0), ({"retry-after": "soon"}, None), ({"retry-after": "nan"}, None)],
)
async def test_a_rate_limit_says_how_long_when_it_knows(server, claude, headers, seconds):
    server.script.append(Fault(name="status", status=429, kind="rate_limit_error", message="Slowly.", headers=headers))

    assert seconds == (await fault_from(claude)).retry_after


def test_a_date_to_come_back_is_turned_into_seconds():
    now = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

    assert 90.0 == retry_after_seconds("Mon, 02 Nov 2026 09:01:30 GMT", now=now)
    assert 0.0 == retry_after_seconds("Mon, 02 Nov 2026 08:00:00 GMT", now=now)


async def test_overload_once_is_followed_by_a_good_reply_to_the_same_request(server, claude):
    server.script.append(Fault(name="status", status=529, kind="overloaded_error", message="Overloaded"))
    server.script.append(Answer(text="Yes."))

    assert faults.Busy is type(await fault_from(claude))
    assert "Yes." == (await claude.reply(asking())).text


async def test_overload_ten_times_is_ten_faults_and_no_retry_in_secret(server, claude):
    server.script.extend([Fault(name="status", status=529, kind="overloaded_error", message="Overloaded")] * 10)

    assert [faults.Busy] * 10 == [type(await fault_from(claude)) for _ in range(10)]
    assert 10 == len(server.asked)


async def test_a_page_for_people_is_named_by_its_status(server, claude):
    page = b"<html><h1>502 Bad Gateway</h1></html>"
    server.script.append(Fault(name="page", status=502, raw=page))
    server.script.append(Fault(name="page", status=413, raw=b"<html><h1>413 Request Entity Too Large</h1></html>"))

    assert faults.ServerError is type(await fault_from(claude))
    assert faults.ContextOverflow is type(await fault_from(claude))


async def test_a_page_without_an_end_is_not_read_to_it(server, claude):
    server.script.append(Fault(name="page", status=500, raw=b"x" * 2_000_000))

    assert faults.Garbled is type(await fault_from(claude))


async def test_a_model_that_is_not_there_is_missing(server):
    claude = Claude(model="claude-nobody-9", api_key=KEY, base_url=server.url)

    assert faults.ModelMissing is type(await fault_from(claude))
    await claude.close()


async def test_a_prompt_that_is_too_long_is_an_overflow(server, claude):
    server.models[NAME] = 10

    assert faults.ContextOverflow is type(await fault_from(claude))


@pytest.mark.parametrize("status", [409, 418, 422])
def test_an_unknown_refusal_is_a_refusal(status):
    assert faults.Refused is fault_of(status, "")


@pytest.mark.parametrize("name", ["no_answer", "no_http"])
async def test_what_breaks_before_any_answer_may_have_been_billed_and_nobody_knows_how_much(server, claude, name):
    """The whole question had been sent: the provider may have worked, and charges for it."""
    server.script.append(Fault(name=name))

    caught = await fault_from(claude)

    assert faults.Disconnected is type(caught)
    assert caught.billed
    assert (False, {}) == (caught.usage.measured, caught.usage.by_class())


@pytest.mark.parametrize("slow", [TimeoutError(), httpx2.ReadTimeout("late")])
def test_a_time_out_before_any_answer_is_not_taken_for_an_answer_of_no_tokens(slow):
    """What was counted so far is our own estimate of the question; the answer may have been written all the same."""
    caught = claude_faults.fault_from(slow, begun=False, usage=Usage(input=900, measured=False), key=KEY)

    assert faults.Slow is type(caught)
    assert (False, {}) == (caught.usage.measured, caught.usage.by_class())


@pytest.mark.parametrize(
    "never_sent", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError]
)
def test_what_was_never_sent_costs_nothing(never_sent):
    caught = claude_faults.fault_from(never_sent("no"), begun=False, usage=Usage(input=900, measured=False), key=KEY)

    assert faults.Unreachable is type(caught)
    assert not caught.billed


async def test_a_refused_connection_is_unreachable():
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    claude = Claude(model=NAME, api_key=KEY, base_url=f"http://127.0.0.1:{port}")

    assert faults.Unreachable is type(await fault_from(claude))
    await claude.close()
