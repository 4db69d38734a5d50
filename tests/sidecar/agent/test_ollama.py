"""The Ollama client against a scripted server: every way in which a chat can go wrong ends in a named fault."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from sidecar.agent import faults
from sidecar.agent.models.ollama import Ollama, Timeouts, supports_strict_context
from sidecar.agent.models.stream import Tail
from sidecar.agent.talk import Call, Observed, RawCall, Reply, Request, Said, Told, ToolSpec, Usage
from tests.providers.ollama import NAME, Answer, Fault, Known, OllamaServer, serving

CONTEXT = 8192
READ_FILE = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={
        "type": "object",
        "properties": {"path": {"type": "string", "minLength": 1}, "start": {"type": "integer"}},
        "required": ["path"],
        "additionalProperties": False,
    },
    changes=False,
)
RUN_COMMAND = ToolSpec(name="run_command", description="Run.", parameters={"type": "object"}, changes=True)
READ = {"name": "read_file", "arguments": {"path": "app.py"}}
GO = Told(text="Fix the bug.")


@pytest.fixture
async def server():
    async with serving(OllamaServer()) as running:
        yield running


@pytest.fixture
async def connect(server):
    """Make a client of the server; all are closed in the end."""
    made = []

    def connected(url="", **kwargs):
        client = Ollama(url=url or server.url, **{"model": NAME, "context": CONTEXT, **kwargs})
        made.append(client)
        return client

    yield connected
    for client in made:
        await client.close()


@pytest.fixture
def ask(server, connect):
    """Let the server do one thing, and ask for a reply."""

    async def asked(turn, request=None, **kwargs):
        server.script.append(turn)
        return await connect(**kwargs).reply(request or question())

    return asked


def question(*turns, tools=(READ_FILE, RUN_COMMAND), **kwargs):
    return Request(**{"system": "You mend code.", "turns": turns or (GO,), "tools": tools, "max_tokens": 512, **kwargs})


# --- what is asked ----------------------------------------------------------------------------------------------------


async def test_a_request_says_all_that_ollama_would_otherwise_decide_by_itself(server, ask):
    await ask(Answer(text="Done."), question(temperature=0.2), think="low", keep_alive="5m")

    body = dict(server.asked[0].body)
    assert ["read_file", "run_command"] == server.asked[0].tools
    assert {
        "name": "read_file",
        "description": "Read a file.",
        "parameters": READ_FILE.parameters,
    } == body.pop("tools")[0]["function"]
    assert {
        "model": NAME,
        "messages": [{"role": "system", "content": "You mend code."}, {"role": "user", "content": "Fix the bug."}],
        "stream": True,
        "think": "low",
        "truncate": False,
        "shift": False,
        "keep_alive": "5m",
        "options": {"num_ctx": CONTEXT, "num_predict": 512, "temperature": 0.2},
    } == body


async def test_without_tools_or_a_temperature_none_are_sent(server, ask):
    await ask(Answer(text="Done."), question(tools=()))

    assert "tools" not in server.asked[0].body
    assert {"num_ctx": CONTEXT, "num_predict": 512} == server.asked[0].body["options"]
    assert False is server.asked[0].body["think"]


async def test_a_talk_is_sent_without_its_thoughts(server, ask):
    call = Call(name="read_file", arguments={"path": "app.py"}, id="call-1")
    said = Said(reply=Reply(text="I look.", thinking="Hm, hm.", calls=(RawCall(name="Read", arguments="{}"),)))
    turns = [GO, said, Told(text="Use a tool."), Said(reply=said.reply, calls=(call,))]
    await ask(Answer(text="Done."), question(*turns, Observed(call=call, text='{"lines": []}')))

    assert [
        {"role": "user", "content": "Fix the bug."},
        {"role": "assistant", "content": "I look."},
        {"role": "user", "content": "Use a tool."},
        {"role": "assistant", "content": "I look.", "tool_calls": [{"function": READ}]},
        {"role": "tool", "content": '{"lines": []}', "tool_name": "read_file"},
    ] == server.asked[0].messages[1:]


async def test_half_a_surrogate_pair_can_be_sent(server, ask):
    reply = await ask(Answer(text="Done."), question(Told(text="Rename \udcff.py")))

    assert "Done." == reply.text
    assert "Rename \udcff.py" == server.asked[0].last["content"]


async def test_a_key_from_the_environment_is_not_shown_to_another_server(server, ask, monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    monkeypatch.setenv("OLLAMA_HOST", "http://192.0.2.1")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    await ask(Answer(text="Done."))

    assert "authorization" not in server.headers[0]
    assert "identity" == server.headers[0]["accept-encoding"]


@pytest.mark.parametrize("url", ["", "localhost:11434", "ftp://127.0.0.1", "http://127.0.0.1:port", "http://a\x00b"])
def test_what_is_no_address_is_refused_at_once(url):
    with pytest.raises(ValueError, match="is not the address of an Ollama server"):
        Ollama(url=url, model=NAME, context=CONTEXT)


# --- good replies -----------------------------------------------------------------------------------------------------


async def test_words_and_thoughts_are_put_together(ask):
    reply = await ask(Answer(text="The bug is in add().", thinking="It subtracts; it should add."), think=True)

    assert "The bug is in add()." == reply.text
    assert "It subtracts; it should add." == reply.thinking
    assert "stop" == reply.stop
    assert 0 < reply.first_seconds <= reply.seconds


@pytest.mark.parametrize("chunk", [1, 2, 7, 4096])
async def test_lines_and_characters_may_be_split_between_chunks(ask, chunk):
    answer = Answer(text="Größe: 5 µm — 日本語 🐍", calls=[{"name": "read_file", "arguments": {"path": "größe.py"}}])
    reply = await ask(Answer(text=answer.text, calls=answer.calls, chunk=chunk))

    assert answer.text == reply.text
    assert "größe.py" == reply.calls[0].arguments["path"]


@pytest.mark.parametrize("blank", [b"\n", b"\n\n  \n", b"\r\n"])
async def test_blank_lines_mean_nothing(ask, blank):
    end = b'{"message":{"role":"assistant","content":" It works."},"done":true,"done_reason":"stop"}\n'
    reply = await ask(Fault(name="raw", first=Answer(text="Done."), raw=blank + end + blank))

    assert "Done. It works." == reply.text


async def test_the_last_line_needs_no_newline(ask):
    reply = await ask(Fault(name="raw", first=Answer(text="Done."), raw=b'{"done":true,"done_reason":"stop"}'))

    assert "Done." == reply.text


async def test_a_call_needs_no_id(ask):
    reply = await ask(Answer(calls=[READ]))

    assert (RawCall(name="read_file", arguments={"path": "app.py"}),) == reply.calls
    assert "tools" == reply.stop


async def test_a_call_keeps_its_id(ask):
    reply = await ask(Answer(calls=[{**READ, "id": "call_x1"}]))

    assert "call_x1" == reply.calls[0].id


@pytest.mark.parametrize("arguments", ['{"path": "app.py"}', "{path: app", None, ["app.py"], {"path": {"a": 1}}])
async def test_arguments_of_any_shape_stay_as_they_are(ask, arguments):
    reply = await ask(Answer(calls=[{"name": "read_file", "arguments": arguments}]))

    assert arguments == reply.calls[0].arguments


async def test_two_calls_are_two_calls(ask):
    reply = await ask(Answer(calls=[READ, {"name": "run_command", "arguments": {"command": "ls"}}]))

    assert ["read_file", "run_command"] == [call.name for call in reply.calls]


async def test_a_call_may_come_with_words(ask):
    reply = await ask(Answer(text="I read it.", calls=[READ]))

    assert ("I read it.", "tools") == (reply.text, reply.stop)
    assert 1 == len(reply.calls)


async def test_a_call_of_an_unknown_tool_is_not_ours_to_judge(ask):
    reply = await ask(Answer(calls=[{"name": "teleport", "arguments": {}}]))

    assert "teleport" == reply.calls[0].name


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "read_file", "arguments": {"path": "a.py"',
        "<function=write_file><parameter=content>if a < b && c > d: '</parameter>'</parameter></function>",
        '{"name": "read_file", /* the file */ "arguments": {"path": "a.py"}} // now',
    ],
)
async def test_calls_within_words_come_through_as_they_are(ask, text):
    reply = await ask(Answer(text=text))

    assert (text, "stop", ()) == (reply.text, reply.stop, reply.calls)


async def test_an_answer_at_its_limit_says_so(ask):
    reply = await ask(Answer(text='<tool_call>{"name": "wri', done_reason="length", output_tokens=512))

    assert "length" == reply.stop


async def test_thoughts_alone_are_a_reply_because_calls_hide_in_them(ask):
    reply = await ask(Answer(thinking='<tool_call>{"name": "read_file"}</tool_call>'), think=True)

    assert ("", "stop") == (reply.text, reply.stop)
    assert "read_file" in reply.thinking


async def test_a_slow_model_may_take_longer_in_all_than_for_any_word(ask):
    patience = Timeouts(first=1.0, between=1.0, whole=60.0)
    reply = await ask(Answer(text="one two three four five six", piece=2, pause=0.1), timeouts=patience)

    assert "one two three four five six" == reply.text


async def test_one_client_asks_many_times(server, connect):
    client = connect()
    server.script.extend([Answer(text="One."), Fault(name="status", status=503), Answer(text="Two.")])

    assert "One." == (await client.reply(question())).text
    with pytest.raises(faults.Busy):
        await client.reply(question())
    assert "Two." == (await client.reply(question())).text


async def test_a_player_answers_what_it_is_asked(server, connect):
    async def player(asked):
        return Answer(text=f"You said: {asked.last['content']}")

    server.player = player
    client = connect()

    assert "You said: Fix the bug." == (await client.reply(question())).text
    assert "You said: And now?" == (await client.reply(question(GO, Told(text="And now?")))).text


# --- what it cost -----------------------------------------------------------------------------------------------------


async def test_usage_is_what_the_server_counted(server, ask):
    reply = await ask(Answer(text="It is fixed now."))

    billed = server.billed[0]
    assert Usage(input=billed.prompt, output=billed.output) == reply.usage
    assert reply.usage.measured


async def test_what_came_from_the_servers_cache_is_counted_apart(ask):
    reply = await ask(Answer(text="Done.", prompt_tokens=900, cached_tokens=700, output_tokens=3))

    assert Usage(input=200, cache_read=700, output=3) == reply.usage


async def test_usage_is_estimated_where_the_server_does_not_say(ask):
    request = question(Told(text="x" * 3300), tools=(), system="")
    reply = await ask(Answer(text="abc" * 110, counts=False, piece=1000), request)

    assert not reply.usage.measured
    assert 100 == reply.usage.output
    assert 1000 <= reply.usage.input <= 1020  # roles and names are read, too


async def test_a_fault_carries_what_was_streamed_until_then(ask):
    request = question(Told(text="x" * 3300))
    with pytest.raises(faults.Disconnected) as caught:
        await ask(Fault(name="reset", first=Answer(text="the words so far " * 2, calls=[READ])), request)

    assert not caught.value.usage.measured
    assert 1000 <= caught.value.usage.input
    assert 10 < caught.value.usage.output


async def test_a_fault_after_the_count_carries_the_count(server, ask):
    with pytest.raises(faults.EmptyReply) as caught:
        await ask(Answer(text="  \n", output_tokens=2))

    assert Usage(input=server.billed[0].prompt, output=2) == caught.value.usage


async def test_what_was_never_begun_cost_nothing(ask):
    with pytest.raises(faults.Busy) as caught:
        await ask(Fault(name="status", status=503))

    assert Usage() == caught.value.usage


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


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3600),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, 0),
    ],
)
async def test_it_may_say_so_by_a_date(ask, header, least, most):
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


# --- faults in the stream ---------------------------------------------------------------------------------------------


async def test_an_error_within_the_stream_is_a_server_error(ask):
    with pytest.raises(faults.ServerError, match="runner has crashed") as caught:
        await ask(Fault(name="error_line", first=Answer(text="I begin"), error="the runner has crashed"))

    assert 0 < caught.value.usage.output


async def test_an_error_about_the_context_within_the_stream_is_an_overflow(ask):
    with pytest.raises(faults.ContextOverflow):
        await ask(Fault(name="error_line", error="context size exceeded"))


@pytest.mark.parametrize("name", ["no_done", "reset", "half_line"])
async def test_a_stream_that_ends_without_its_end_is_a_disconnect(ask, name):
    with pytest.raises(faults.Disconnected):
        await ask(Fault(name=name, first=Answer(text="I was just about to")))


@pytest.mark.parametrize("words", [" the" * 31, "\n" * 31, "0" * 40, "\n  no" * 31])
async def test_a_stream_that_ends_after_repeated_words_is_a_repetition(ask, words):
    with pytest.raises(faults.Repetition) as caught:
        await ask(Fault(name="no_done", first=Answer(text="I say" + words, piece=4)))

    assert 0 < caught.value.usage.output


async def test_repetition_without_end_is_ended(server, ask):
    with pytest.raises(faults.Repetition) as caught:
        await ask(Fault(name="looping", first=Answer(text="Let me see.")))

    await asyncio.wait_for(server.hung_up.wait(), 10)
    assert not caught.value.usage.measured
    assert 100 < caught.value.usage.output


async def test_repeated_thoughts_are_a_repetition_too(ask):
    with pytest.raises(faults.Repetition):
        await ask(Answer(thinking="Wait, what if I look at it in another way? " * 20), think=True)


@pytest.mark.parametrize(
    "raw",
    [
        b"{not json}\n",
        b"[1, 2]\n",
        b'{"message":{"content":"\xff\xfe"},"done":false}\n',
        b'{"message":"hello","done":false}\n',
        b'{"message":{"content":5},"done":false}\n',
        b'{"message":{"tool_calls":{"name":"x"}},"done":false}\n',
        b'{"message":{"tool_calls":[{"function":"x"}]},"done":false}\n',
        b'{"message":{"tool_calls":[{"function":{"name":7}}]},"done":false}\n',
        b'{"done":true,"prompt_eval_count":"many"}\n',
        b'{"done":true,"eval_count":-1}\n',
        b"[" * 100_000 + b"\n",
        b'{"done":' + b"9" * 5000 + b"}\n",
    ],
)
async def test_a_line_that_makes_no_sense_is_garbled(ask, raw):
    with pytest.raises(faults.Garbled) as caught:
        await ask(Fault(name="raw", first=Answer(text="I begin"), raw=raw))

    assert 0 < caught.value.usage.output


@pytest.mark.parametrize("name", ["long_line", "endless"])
async def test_an_answer_without_end_is_garbled(server, ask, name):
    with pytest.raises(faults.Garbled, match="no end"):
        await ask(Fault(name=name))

    await asyncio.wait_for(server.hung_up.wait(), 10)


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


# --- replies that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(text=" \n\t "),
        Answer(done_reason="load", counts=False),
        Answer(thinking="\n"),
        Answer(counts=False),
    ],
)
async def test_neither_words_nor_calls_is_an_empty_reply(ask, answer):
    with pytest.raises(faults.EmptyReply):
        await ask(answer)


async def test_a_call_at_the_limit_is_cut_off(ask):
    with pytest.raises(faults.CutOff):
        await ask(Answer(calls=[READ], done_reason="length", output_tokens=512))


async def test_a_prompt_that_fills_the_context_has_been_cut(ask):
    with pytest.raises(faults.ContextOverflow) as caught:
        await ask(Answer(text="Who are you?", prompt_tokens=CONTEXT))

    assert CONTEXT == caught.value.usage.prompt


async def test_an_answer_that_ended_for_want_of_context_is_an_overflow(ask):
    with pytest.raises(faults.ContextOverflow):
        await ask(Answer(text="And then", done_reason="length", prompt_tokens=8000, output_tokens=190))


async def test_an_answer_at_its_own_limit_is_no_overflow_in_a_full_context(ask):
    reply = await ask(Answer(text="And then", done_reason="length", prompt_tokens=7680, output_tokens=512))

    assert "length" == reply.stop


LONG = question(Told(text="word " * 6000))
"""Thirty thousand characters: five thousand tokens at the very least."""


@pytest.mark.parametrize(("cached", "context"), [(0, 32_768), (900, 32_768), (None, 8192)])
async def test_far_fewer_tokens_than_we_sent_means_a_silent_cut(ask, cached, context):
    answer = Answer(text="Which task?", prompt_tokens=1000, cached_tokens=cached)
    with pytest.raises(faults.ContextOverflow):
        await ask(answer, LONG, context=context)


async def test_few_tokens_that_a_cache_may_explain_are_no_cut(ask):
    reply = await ask(Answer(text="Done.", prompt_tokens=1000), LONG, context=32_768)

    assert "Done." == reply.text


async def test_fewer_tokens_than_estimated_are_no_cut_while_they_are_plausible(ask):
    reply = await ask(Answer(text="Done.", prompt_tokens=4000, cached_tokens=0), LONG, context=32_768)

    assert "Done." == reply.text


# --- repetition, by itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1, 7, 20, 33, 100, 101, 200])
def test_a_unit_said_over_and_over_is_a_loop(unit):
    tail = Tail()
    tail.feed("It was a dark night. " + "".join(chr(0x4E00 + at) for at in range(unit)) * (800 // unit + 1))

    assert tail.loops()


@pytest.mark.parametrize(
    "text",
    [
        "-" * 399,
        "\n".join(f"    self.assertEqual({n}, add({n}, 0))" for n in range(1000, 1040)),
        "".join(chr(0x4E00 + at) for at in range(200)) * 3,
        "".join(chr(0x4E00 + at) for at in range(201)) * 6,
        "",
    ],
)
def test_what_merely_looks_alike_is_no_loop(text):
    tail = Tail()
    for character in text:
        tail.feed(character)
        assert not tail.loops()


def test_only_the_end_counts():
    tail = Tail()
    tail.feed("again and again and " * 100)
    tail.feed("but no more")

    assert not tail.loops()
    assert not tail.stutters()


# --- what the server tells of itself ----------------------------------------------------------------------------------


async def test_the_server_tells_its_version_and_models(connect, server):
    server.models["small:1b"] = Known(size=7)

    client = connect()
    assert "0.33.0" == await client.version()
    assert [(NAME, 5_000_000_000), ("small:1b", 7)] == [(model.name, model.size) for model in await client.models()]
    assert "ab" * 32 == (await client.models())[0].digest


async def test_the_server_shows_what_a_model_can_do(connect):
    shown = await connect().show(NAME)

    assert frozenset({"completion", "tools", "thinking"}) == shown.capabilities
    assert 131_072 == shown.context
    assert ("{{ .Prompt }}", "", "") == (shown.template, shown.parser, shown.renderer)


async def test_a_model_that_is_not_there_cannot_be_shown(connect):
    with pytest.raises(faults.ModelMissing):
        await connect().show("nobody:7b")


async def test_the_server_tells_what_is_loaded(connect, server, ask):
    server.models[NAME] = Known(size=9, size_vram=4)
    assert [] == await connect().running()
    await ask(Answer(text="Done."))

    (running,) = await connect().running()
    assert (NAME, CONTEXT, 9, 4) == (running.name, running.context, running.size, running.size_vram)
    assert datetime(2026, 11, 2, 9, 0, 0, 123456, tzinfo=UTC) == running.expires_at


async def test_an_old_server_tells_less(connect, server):
    server.pages["/api/show"] = {"model_info": {"llama.context_length": 4096}}
    server.pages["/api/ps"] = {"models": [{"model": "m", "size": 1}]}

    shown = await connect().show("m")
    (running,) = await connect().running()
    assert (frozenset(), 4096) == (shown.capabilities, shown.context)
    assert (None, 0, None) == (running.context, running.size_vram, running.expires_at)


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/api/version", b"not json"),
        ("/api/version", []),
        ("/api/version", {"version": 3}),
        ("/api/version", b" " * 17_000_000),
        ("/api/tags", {"models": "none"}),
        ("/api/tags", {"models": [{"size": 1}]}),
        ("/api/tags", {"models": [{"name": "m", "size": "big"}]}),
        ("/api/show", {"capabilities": [1]}),
        ("/api/show", {"model_info": [1]}),
        ("/api/show", {"model_info": {"x.context_length": True}}),
        ("/api/ps", {"models": [{"name": "m", "expires_at": "tomorrow"}]}),
    ],
)
async def test_a_malformed_answer_is_garbled(connect, server, path, page):
    server.pages[path] = page
    client = connect()
    ways = {
        "/api/version": client.version,
        "/api/tags": client.models,
        "/api/show": lambda: client.show("m"),
        "/api/ps": client.running,
    }

    with pytest.raises(faults.Garbled):
        await ways[path]()


async def test_a_question_to_nobody_is_unreachable(connect):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(faults.Unreachable):
            await connect(f"http://127.0.0.1:{taken.getsockname()[1]}").version()


@pytest.mark.parametrize(
    ("version", "strict"),
    [
        ("0.12.5", False),
        ("0.12.6-rc1", False),
        ("0.12.6", True),
        ("0.12.6+build7", True),
        ("v0.12.7", True),
        ("0.33.0-rc2", True),
        ("1.0.0", True),
        ("0.9.99", False),
        ("0.0.0", False),
        ("", False),
        ("latest", False),
        ("0.13", False),
    ],
)
def test_only_a_server_that_is_new_enough_can_be_kept_from_cutting(version, strict):
    assert strict == supports_strict_context(version)


# --- the server is strict itself --------------------------------------------------------------------------------------


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


async def test_a_call_that_the_server_could_not_parse_is_the_models_doing_and_is_asked_for_otherwise(ask):
    with pytest.raises(faults.Unparsed) as caught:
        await ask(Fault(name="status", status=500, error="error parsing tool call: raw='{\"path\":', err=unexpected"))

    assert ("different", "capability") == (caught.value.remedy, caught.value.blame)
