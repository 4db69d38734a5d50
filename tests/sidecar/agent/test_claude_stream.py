"""What becomes of a stream of Claude's events: a reply, what it cost, or a fault that says what came until then."""

import pytest

from sidecar.agent import faults
from sidecar.agent.models.claude import Claude
from sidecar.agent.models.claude_talk import estimate_tokens
from sidecar.agent.talk import Said, Told, Usage
from tests.providers.anthropic import KEY, NAME, Answer, AnthropicServer, Fault, serving
from tests.providers.asking_claude import READING, asking, fault_from


@pytest.fixture
async def server():
    async with serving(AnthropicServer()) as opened:
        yield opened


@pytest.fixture
async def claude(server):
    model = Claude(model=NAME, api_key=KEY, base_url=server.url)
    yield model
    await model.close()


# --- endings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["end_turn", "stop_sequence", "pause_turn", "of_tomorrow"])
async def test_words_with_an_ordinary_ending_are_an_answer(server, claude, stop):
    server.script.append(Answer(text="Done.", stop=stop))

    assert "stop" == (await claude.reply(asking())).stop


async def test_words_that_were_cut_off_are_an_answer_that_says_so(server, claude):
    server.script.append(Answer(text="It begins", stop="max_tokens"))

    assert "length" == (await claude.reply(asking())).stop


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(calls=[{"name": "run_command", "written": '{"command": "rm -r bu'}], stop="max_tokens"), faults.CutOff),
        (Answer(calls=[{"name": "run_command", "input": {"command": "rm"}}], stop="max_tokens"), faults.CutOff),
        (Answer(text="No.", stop="refusal", stop_details={"type": "refusal", "category": "cyber"}), faults.Declined),
        (Answer(stop="refusal"), faults.Declined),
        (Answer(text="So", stop="model_context_window_exceeded"), faults.ContextOverflow),
        (Answer(), faults.EmptyReply),
        (Answer(text=" \n"), faults.EmptyReply),
        (Answer(thinking="Hm.", stop="max_tokens"), faults.EmptyReply),
        (Answer(stop="pause_turn"), faults.EmptyReply),
    ],
)
async def test_an_ending_that_is_no_answer_is_a_fault_that_was_billed(server, claude, answer, fault):
    server.script.append(answer)

    caught = await fault_from(claude)

    assert fault is type(caught)
    assert server.billed == [caught.usage.by_class()]
    assert caught.usage.measured


async def test_a_declined_request_says_why(server, claude):
    server.script.append(Answer(stop="refusal", stop_details={"type": "refusal", "category": "cyber"}))

    assert "The model declined to do this (cyber)." == (await fault_from(claude)).message


@pytest.mark.parametrize("written", ['{"path": "calc.py"', '{"path": NaN}', "[" * 200 + "]" * 200, "nonsense"])
async def test_arguments_that_are_no_json_are_left_to_the_repair_ladder(server, claude, written):
    server.script.append(Answer(calls=[{"name": "read_file", "written": written}]))
    server.script.append(Answer(text="Sorry."))

    reply = await claude.reply(asking())
    again = await claude.reply(asking(Told(text="Repair calc.py."), Said(reply=reply), Told(text="That was no JSON.")))

    assert written == reply.calls[0].arguments
    assert {} == reply.blocks[0]["input"]
    assert "Sorry." == again.text


async def test_a_call_without_arguments_has_none(server, claude):
    server.script.append(Answer(calls=[{"name": "read_file", "written": ""}]))

    assert {} == (await claude.reply(asking())).calls[0].arguments


async def test_unknown_events_blocks_and_deltas_mean_nothing(server, claude):
    strange = {"type": "hologram", "shape": "cube"}
    server.script.append(Answer(text="Done.", calls=[READING], blocks=[strange], strangers=True))

    reply = await claude.reply(asking())

    assert ("Done.", 1) == (reply.text, len(reply.calls))
    assert ["text"] == [block["type"] for block in reply.blocks if block["type"] != "tool_use"]


async def test_an_unknown_block_that_came_whole_goes_back(server, claude):
    strange = {"type": "hologram", "shape": "cube"}
    server.script.append(Answer(text="Done.", blocks=[strange]))

    assert strange == (await claude.reply(asking())).blocks[-1]


async def test_a_thought_that_was_cut_off_unsigned_does_not_go_back(server, claude):
    unsigned = {"type": "thinking", "thinking": "Hm, and", "signature": ""}
    server.script.append(Answer(text="It is", blocks=[unsigned], stop="max_tokens"))

    reply = await claude.reply(asking())

    assert "Hm, and" == reply.thinking
    assert ["text"] == [block["type"] for block in reply.blocks]


# --- what it cost -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"input_tokens": 7, "output_tokens": 3}, Usage(input=7, output=3)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
        (
            {
                "input_tokens": 7,
                "output_tokens": 3,
                "cache_read_input_tokens": 50,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            },
            Usage(input=7, output=3, cache_read=50, cache_write_5m=10, cache_write_1h=20),
        ),
        (
            {"input_tokens": 7, "output_tokens": 3, "cache_creation_input_tokens": 30, "cache_creation": None},
            Usage(input=7, output=3, cache_write_5m=30),
        ),
    ],
)
async def test_usage_is_kept_by_class(server, claude, said, usage):
    server.script.append(Answer(text="Yes.", usage=said))

    assert usage == (await claude.reply(asking())).usage
    assert server.billed == [usage.by_class()]


async def test_usage_that_is_missing_is_estimated_and_says_so(server, claude):
    server.script.append(Answer(text="Yes, of course.", usage=None))

    usage = (await claude.reply(asking())).usage

    assert not usage.measured
    assert estimate_tokens(asking()) == usage.input
    assert 5 == usage.output


async def test_a_request_id_that_is_absent_is_empty(server, claude):
    server.script.append(Answer(text="Yes.", request_id=False))

    assert "" == (await claude.reply(asking())).request_id


# --- errors on the way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wrong_type", "redirect", "compressed", "long_line"])
async def test_what_is_not_the_protocol_is_garbled(server, claude, name):
    server.script.append(Fault(name=name))

    assert faults.Garbled is type(await fault_from(claude))


@pytest.mark.parametrize("name", ["reset", "no_stop"])
async def test_an_answer_that_breaks_off_is_charged_for_what_came(server, claude, name):
    server.script.append(Fault(name=name, first=Answer(text="It is the sign in the second line.")))

    caught = await fault_from(claude)

    assert faults.Disconnected is type(caught)
    assert server.billed[0]["input"] == caught.usage.input
    assert 11 == caught.usage.output
    assert not caught.usage.measured


@pytest.mark.parametrize(
    ("kind", "message", "fault"),
    [
        ("overloaded_error", "Overloaded", faults.Busy),
        ("api_error", "Internal server error", faults.ServerError),
        ("rate_limit_error", "Slowly", faults.RateLimited),
        ("timeout_error", "Timed out", faults.ServerError),
        ("invalid_request_error", "prompt is too long", faults.ContextOverflow),
        ("authentication_error", "expired", faults.Unauthorized),
        ("error_of_tomorrow", "Who knows", faults.ServerError),
    ],
)
async def test_an_error_inside_the_stream_is_a_fault_with_what_it_cost(server, claude, kind, message, fault):
    server.script.append(Fault(name="error_event", first=Answer(text="It is"), kind=kind, message=message))

    caught = await fault_from(claude)

    assert fault is type(caught)
    assert f"{kind}: {message}" == caught.message
    assert server.billed[0]["input"] == caught.usage.input
    assert 2 == caught.usage.output


@pytest.mark.parametrize(
    "raw",
    [
        b"event: message_delta\ndata: {nonsense\n\n",
        b"event: message_delta\ndata: [1]\n\n",
        b'event: ping\ndata: {"type": "ping", "n": NaN}\n\n',
        b"event: ping\ndata: " + b"[" * 5000 + b"\n\n",
        b'event: ping\ndata: {"type": "\xff\xfe"}\n\n',
        b'data: {"type": "content_block_delta", "index": 7, "delta": {}}\n\n',
        b'data: {"type": "content_block_start", "content_block": {}}\n\n',
    ],
)
async def test_an_event_that_is_none_is_garbled_with_what_it_cost(server, claude, raw):
    server.script.append(Fault(name="raw", first=Answer(text="It is"), raw=raw))

    caught = await fault_from(claude)

    assert faults.Garbled is type(caught)
    assert server.billed[0]["input"] == caught.usage.input


async def test_an_event_that_is_cut_off_by_the_end_is_a_disconnect(server, claude):
    server.script.append(Fault(name="raw", raw=b'event: message_stop\ndata: {"type": "message_stop"}\n'))

    assert faults.Disconnected is type(await fault_from(claude))
