"""The Ollama client against a scripted server: what it asks, what it makes of good replies, and what they cost."""

from __future__ import annotations

import pytest

from sidecar.agent import faults
from sidecar.agent.models.ollama import Ollama, Timeouts
from sidecar.agent.talk import Call, Observed, RawCall, Reply, Said, Told, Usage
from tests.providers.ollama import NAME, Answer, Fault
from tests.sidecar.agent.ollama_questions import CONTEXT, GO, READ, READ_FILE, question

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
