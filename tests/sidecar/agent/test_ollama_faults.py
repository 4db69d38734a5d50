"""An Ollama server that does not answer as it should: every way ends in a named fault."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sidecar.agent import faults
from sidecar.agent.models.ollama import Timeouts
from sidecar.agent.talk import Told
from tests.providers.ollama import NAME, Answer, Fault, Known
from tests.sidecar.agent.ollama_questions import question

# --- faults before the first byte -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "fault"),
    [
        (400, "invalid options", faults.Refused),
        (400, "registry.ollama.ai/library/m does not support tools", faults.Refused),
        (400, '"m" does not support thinking', faults.Refused),
        (400, "the prompt is longer than the context length currently available", faults.ContextOverflow),
        (400, "request (9000 tokens) exceeds the available context size (8192 tokens)", faults.ContextOverflow),
        (401, "unauthorized", faults.Unauthorized),
        (403, "forbidden", faults.Unauthorized),
        (404, 'model "m" not found, try pulling it first', faults.ModelMissing),
        (404, "404 page not found", faults.Refused),
        (405, "405 method not allowed", faults.Refused),
        (413, "request body too large", faults.Refused),
        (429, "too many requests", faults.RateLimited),
        (499, "the request was cancelled: context canceled", faults.ServerError),
        (500, "llama runner process has terminated", faults.ServerError),
        (500, "failed to create llama context: out of memory", faults.ServerError),
        (500, "context deadline exceeded", faults.ServerError),
        (500, "input length exceeds maximum context length", faults.ContextOverflow),
        (502, "bad gateway", faults.ServerError),
        (503, "server busy, please try again.  maximum pending requests exceeded", faults.Busy),
        (504, "gateway timeout", faults.ServerError),
    ],
)
async def test_a_status_is_a_fault_by_name(ask, status, error, fault):
    with pytest.raises(faults.ModelFault) as caught:
        await ask(Fault(name="status", status=status, error=error))

    assert fault is type(caught.value)
    assert f"{status}: {error}" == caught.value.message


async def test_an_error_need_not_be_json(server, connect):
    with pytest.raises(faults.Refused, match="404 page not found"):
        await connect(server.url + "/elsewhere").reply(question())


@pytest.mark.parametrize("status", [429, 503])
async def test_the_server_may_say_when_to_come_back(ask, status):
    with pytest.raises((faults.RateLimited, faults.Busy)) as caught:
        await ask(Fault(name="status", status=status, headers={"Retry-After": "7"}))

    assert 7.0 == caught.value.retry_after


@pytest.mark.parametrize(("hours", "least", "most"), [(1, 3000, 3600), (-1, 0, 0)])
async def test_it_may_say_so_by_a_date(ask, hours, least, most):
    header = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    with pytest.raises(faults.RateLimited) as caught:
        await ask(Fault(name="status", status=429, headers={"Retry-After": header}))

    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize("header", ["", "soon", "-1", "nan", "1e999", "Mon, 99 Foo 2026 99:99:99 GMT"])
async def test_when_to_come_back_may_be_nonsense(ask, header):
    with pytest.raises(faults.RateLimited) as caught:
        await ask(Fault(name="status", status=429, headers={"Retry-After": header}))

    assert caught.value.retry_after is None


async def test_a_model_that_is_not_there_is_missing(connect):
    with pytest.raises(faults.ModelMissing, match="try pulling it first"):
        await connect(model="nobody:7b").reply(question())


async def test_a_model_without_tools_refuses_them(server, connect):
    server.models[NAME] = Known(capabilities=["completion"])

    with pytest.raises(faults.Refused, match="does not support tools"):
        await connect().reply(question())
    with pytest.raises(faults.Refused, match="does not support thinking"):
        await connect(think=True).reply(question(Told(text="Without tools."), tools=()))


async def test_a_conversation_too_long_for_the_server_is_an_overflow(connect):
    with pytest.raises(faults.ContextOverflow, match="available context size"):
        await connect(context=256).reply(question(Told(text="x" * 2000)))


async def test_nobody_there_is_unreachable(connect):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(faults.Unreachable):
            await connect(address).reply(question())


async def test_a_host_that_has_no_address_is_unreachable(connect):
    with pytest.raises(faults.Unreachable):
        await connect("http://" + "a" * 70 + ".invalid").reply(question())


async def test_a_connection_that_breaks_before_the_first_byte_is_unreachable(ask):
    with pytest.raises(faults.Unreachable):
        await ask(Fault(name="no_answer"))


@pytest.mark.parametrize("name", ["no_http", "wrong_type", "redirect"])
async def test_what_is_not_the_protocol_is_garbled(server, ask, name):
    with pytest.raises(faults.Garbled):
        await ask(Fault(name=name))

    assert 1 == len(server.headers)


async def test_a_call_that_the_server_could_not_parse_is_the_models_doing_and_is_asked_for_otherwise(ask):
    with pytest.raises(faults.Unparsed) as caught:
        await ask(Fault(name="status", status=500, error="error parsing tool call: raw='{\"path\":', err=unexpected"))

    assert ("different", "capability") == (caught.value.remedy, caught.value.blame)


# --- slowness ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "patience"),
    [
        ("silent", Timeouts(first=0.5)),
        ("silent", Timeouts(whole=0.5)),
        ("silent_after_headers", Timeouts(first=0.5)),
        ("silent_midway", Timeouts(between=0.5)),
        ("silent_midway", Timeouts(whole=0.5)),
    ],
)
async def test_silence_has_its_limits(server, ask, name, patience):
    with pytest.raises(faults.Slow) as caught:
        await ask(Fault(name=name, first=Answer(text="One moment")), timeouts=patience)

    await asyncio.wait_for(server.hung_up.wait(), 10)
    assert 0 < caught.value.usage.input
    assert not caught.value.usage.measured


async def test_a_stream_of_nothing_does_not_outlast_the_whole(server, ask):
    answer = Answer(text="word " * 2000, piece=1, pause=0.02)
    with pytest.raises(faults.Slow):
        await ask(answer, timeouts=Timeouts(whole=0.5))


async def test_a_server_that_takes_no_connections_is_unreachable(connect):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # they fill the queue, so that the next connection is not taken
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        client = connect(f"http://127.0.0.1:{address[1]}", timeouts=Timeouts(connect=0.1, first=30))
        with pytest.raises(faults.Unreachable):
            await client.reply(question())
        for one in waiting:
            one.close()


async def test_a_server_that_does_not_read_is_slow(connect):
    enough = asyncio.Event()

    async def deaf(_reader, writer):
        await enough.wait()
        writer.close()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as listener:
        client = connect(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", timeouts=Timeouts(between=0.5))
        with pytest.raises(faults.Slow):
            await client.reply(question(Told(text="x" * 30_000_000)))
        enough.set()


async def test_cancelling_closes_the_connection(server, connect):
    server.script.append(Fault(name="silent_midway", first=Answer(text="A long story:")))
    asking = asyncio.create_task(connect().reply(question()))
    await asyncio.wait_for(server.said.wait(), 10)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(server.hung_up.wait(), 10)
