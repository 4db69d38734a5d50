"""Claude's client against a server that speaks Anthropic's wire, and refuses what Anthropic refuses."""

import asyncio
import json
import logging
import traceback
from datetime import UTC, datetime

import pytest

from sidecar.agent import faults
from sidecar.agent.models.claude import (
    Claude,
    Timeouts,
    estimate_tokens,
    fault_of,
    messages_of,
    retry_after_seconds,
    thinking_of,
    unbroken,
    with_breakpoint,
)
from sidecar.agent.talk import Call, Observed, RawCall, Reply, Request, Said, Told, ToolSpec, Turn, Usage
from tests.providers.anthropic import KEY, NAME, Answer, AnthropicServer, Fault, serving

READ = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    changes=False,
)
RUN = ToolSpec(
    name="run_command",
    description="Run a command.",
    parameters={"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    changes=True,
)
READING = {"name": "read_file", "input": {"path": "calc.py"}}
SHORT = Timeouts(connect=5, first=1, between=1, whole=20)


@pytest.fixture
async def server():
    async with serving(AnthropicServer()) as opened:
        yield opened


@pytest.fixture
async def claude(server):
    model = Claude(model=NAME, api_key=KEY, base_url=server.url)
    yield model
    await model.close()


def asking(*turns, **more):
    return Request(
        system=more.pop("system", "You repair code."),
        turns=turns or (Told(text="Repair calc.py."),),
        tools=more.pop("tools", (READ, RUN)),
        max_tokens=more.pop("max_tokens", 1000),
        **more,
    )


def carried_out(reply):
    return tuple(Call(name=raw.name, arguments=raw.arguments, id=raw.id) for raw in reply.calls)


def observed(said, text="{}"):
    return [Observed(call=call, text=text) for call in said.calls]


def a_call(use="toolu_1", name="read_file"):
    return Call(name=name, arguments={"path": "calc.py"}, id=use)


def said_at(turns, place):
    said = turns[place]
    assert isinstance(said, Said)
    return said


def said_by_hand(*calls, text=""):
    return Said(reply=Reply(text=text), calls=calls)


async def fault_from(claude, request=None):
    with pytest.raises(faults.ModelFault) as caught:
        await claude.reply(request or asking())
    assert KEY not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value


# --- good replies -----------------------------------------------------------------------------------------------------


async def test_words_thinking_and_calls_come_with_what_they_cost(server, claude):
    server.script.append(Answer(text="I look at it.", thinking="What is wrong?", calls=[READING]))

    reply = await claude.reply(asking())

    assert ("I look at it.", "What is wrong?", "tools") == (reply.text, reply.thinking, reply.stop)
    assert (RawCall(name="read_file", arguments={"path": "calc.py"}, id="toolu_1_0"),) == reply.calls
    assert ["thinking", "text", "tool_use"] == [block["type"] for block in reply.blocks]
    assert "signed-1-by-us==" == reply.blocks[0]["signature"]
    assert "req_000000000001" == reply.request_id
    assert reply.usage.measured
    assert server.billed == [reply.usage.by_class()]
    assert 0 < reply.first_seconds <= reply.seconds


async def test_what_is_sent_is_what_the_api_takes_and_no_more(server, claude):
    server.script.append(Answer(text="Yes."))

    await claude.reply(asking(temperature=0.2))

    body = server.asked[0].body
    assert {"model", "max_tokens", "system", "tools", "messages", "stream"} == set(body)
    assert [{"type": "text", "text": "You repair code."}] == body["system"]
    assert ["read_file", "run_command"] == server.asked[0].tools
    assert READ.parameters == body["tools"][0]["input_schema"]
    assert "2026-10-21" == server.asked[0].headers["anthropic-version"]


async def test_tools_keep_one_order(server, claude):
    server.script.extend([Answer(text="Yes."), Answer(text="Yes.")])

    await claude.reply(asking(tools=(RUN, READ)))
    await claude.reply(asking(tools=(READ, RUN)))

    assert server.asked[0].body["tools"] == server.asked[1].body["tools"]


async def test_a_talk_goes_on_with_what_was_received_unchanged(server, claude):
    redacted = {"type": "redacted_thinking", "data": "c2VjcmV0"}
    server.script.append(Answer(text="I look.", thinking="Hm.", calls=[READING, READING], blocks=[redacted]))
    server.script.append(Answer(text="Done.", thinking="Good."))
    turns: list[Turn] = [Told(text="Repair calc.py.")]

    reply = await claude.reply(asking(*turns))
    said = Said(reply=reply, calls=carried_out(reply))
    turns += [said, *observed(said)]
    last = await claude.reply(asking(*turns))

    assert "Done." == last.text
    assert list(said.reply.blocks) == server.asked[1].messages[1]["content"]


async def test_the_prefix_is_cached_to_the_last_tool_result_and_read_again(server, claude):
    server.least_cached = 10
    server.player = lambda _: Answer(calls=[READING])
    turns: list[Turn] = [Told(text="Repair calc.py.")]
    usages = []
    for _ in range(4):
        reply = await claude.reply(asking(*turns))
        usages.append(reply.usage)
        said = Said(reply=reply, calls=carried_out(reply))
        turns += [said, *observed(said, "{}" * 50)]

    assert 0 == usages[0].prompt - usages[0].input
    assert 0 == usages[1].cache_read < usages[1].cache_write_5m
    assert usages[1].cache_write_5m == usages[2].cache_read
    assert usages[3].cache_read == usages[2].cache_read + usages[2].cache_write_5m
    assert server.billed == [usage.by_class() for usage in usages]


async def test_thoughts_are_left_out_once_what_they_were_bound_to_has_changed(server, claude):
    server.player = lambda _: Answer(thinking="Hm.", calls=[READING])
    turns: list[Turn] = [Told(text="Repair calc.py.")]
    for _ in range(4):
        reply = await claude.reply(asking(*turns))
        said = Said(reply=reply, calls=carried_out(reply))
        turns += [said, *observed(said, "a long text")]

    masked = [*turns]
    masked[4] = Observed(call=said_at(turns, 3).calls[0], text="[elided]")
    reply = await claude.reply(asking(*masked))
    said = Said(reply=reply, calls=carried_out(reply))
    masked += [said, *observed(said)]
    await claude.reply(asking(*masked))

    spoken = [message["content"] for message in server.asked[-1].messages if message["role"] == "assistant"]
    assert [True, True, False, False, True] == [content[0]["type"] == "thinking" for content in spoken]


async def test_another_system_text_unbinds_all_thoughts(server, claude):
    server.player = lambda _: Answer(text="Yes.", thinking="Hm.")
    reply = await claude.reply(asking())

    await claude.reply(asking(Told(text="Repair calc.py."), Said(reply=reply), system="You write poems."))

    assert [{"type": "text", "text": "Yes."}] == server.asked[1].messages[1]["content"]


async def test_text_that_is_no_unicode_is_mended_before_it_is_sent(server, claude):
    server.script.append(Answer(text="Yes."))
    said = said_by_hand(a_call())

    await claude.reply(asking(Told(text="half: \udce4"), said, *observed(said, "\ud83d\ude00")))

    assert "half: \ufffd" == server.asked[0].messages[0]["content"][0]["text"]
    assert ["\U0001f600"] == server.asked[0].results


async def test_an_answer_may_be_cut_into_chunks_anywhere(server, claude):
    server.script.append(
        Answer(text="Größe: 4 µm 😀", calls=[{"name": "read_file", "input": {"path": "ä.py"}}], chunk=1)
    )

    reply = await claude.reply(asking())

    assert "Größe: 4 µm 😀" == reply.text
    assert {"path": "ä.py"} == reply.calls[0].arguments


async def test_the_environment_slips_nothing_in(server, monkeypatch):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another")
    headers = "X-Secret: of-somebody-else\nx-api-key: another\nauthorization: Bearer another\nanthropic-version: old"
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", headers)
    server.script.append(Answer(text="Yes."))
    claude = Claude(model=NAME, api_key=KEY, base_url=server.url)

    reply = await claude.reply(asking())
    await claude.close()

    assert "Yes." == reply.text
    assert not {"x-secret", "x-api-key"} & set(server.asked[0].headers)


# --- how a talk is written down ---------------------------------------------------------------------------------------


def user(*texts):
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def result(use, *texts, **more):
    return {
        "type": "tool_result",
        "tool_use_id": use,
        "content": [{"type": "text", "text": text} for text in texts],
        **more,
    }


def test_words_in_a_row_become_one_message():
    assert [user("One.\n\nTwo.")] == messages_of([Told(text="One."), Told(text=" "), Told(text="Two.")])


def test_results_stand_alone_and_words_after_them_go_inside_the_last():
    said = said_by_hand(a_call("a"), a_call("b"))

    messages = messages_of([Told(text="Do."), said, *observed(said), Told(text="Hurry."), Told(text="Please.")])

    assert [result("a", "{}"), result("b", "{}", "Hurry.\n\nPlease.")] == messages[-1]["content"]


def test_words_between_results_wait_for_the_last_of_them():
    said = said_by_hand(a_call("a"), a_call("b"))
    first, second = observed(said)

    messages = messages_of([Told(text="Do."), said, first, Told(text="Hurry."), second])

    assert [result("a", "{}"), result("b", "{}", "Hurry.")] == messages[-1]["content"]


def test_a_call_that_was_not_carried_out_gets_a_result_that_says_so():
    said = said_by_hand(a_call("a"), a_call("b"))

    messages = messages_of([Told(text="Do."), said, *observed(said)[:1], Told(text="One at a time.")])

    orphan = result("b", "This call was not carried out.", "One at a time.", is_error=True)
    assert [result("a", "{}"), orphan] == messages[-1]["content"]


def test_a_result_without_its_call_becomes_words():
    messages = messages_of([Told(text="Do."), said_by_hand(text="See."), Observed(call=a_call("gone"), text="{}")])

    assert user("read_file: {}") == messages[-1]


def test_an_empty_result_has_no_content():
    said = said_by_hand(a_call("a"))

    assert [result("a")] == messages_of([Told(text="Do."), said, *observed(said, "")])[-1]["content"]


def test_an_assistant_without_blocks_is_made_of_its_text_and_calls():
    messages = messages_of([Told(text="Do."), said_by_hand(a_call("a"), text="I do.")])

    use = {"type": "tool_use", "id": "a", "name": "read_file", "input": {"path": "calc.py"}}
    assert [{"type": "text", "text": "I do."}, use] == messages[1]["content"]


def test_a_talk_never_begins_or_ends_with_the_assistant_nor_lets_it_speak_twice():
    messages = messages_of([said_by_hand(text="One."), said_by_hand(text="Two.")])

    assert ["user", "assistant", "user", "assistant", "user"] == [message["role"] for message in messages]
    assert user("Go on.") == messages[-1]


def test_nothing_said_at_all_is_still_a_message():
    messages = messages_of([Told(text="Do."), Said(reply=Reply(blocks=({"type": "text", "text": ""},)))])

    assert [{"type": "text", "text": "(nothing)"}] == messages[1]["content"]


def test_arguments_that_could_not_be_read_go_back_as_they_were_repaired():
    use = {"type": "tool_use", "id": "a", "name": "read_file", "input": {}}
    reply = Reply(blocks=(use,), calls=(RawCall(name="read_file", arguments="{path: calc.py}", id="a"),))

    refused = messages_of([Told(text="Do."), Said(reply=reply)])
    repaired = messages_of([Told(text="Do."), Said(reply=reply, calls=(a_call("a"),))])

    assert [use] == refused[1]["content"]
    assert [use | {"input": {"path": "calc.py"}}] == repaired[1]["content"]


def test_only_the_last_result_of_all_is_a_breakpoint():
    first, second = said_by_hand(a_call("a")), said_by_hand(a_call("b"), a_call("c"))
    messages = messages_of([Told(text="Do."), first, *observed(first), second, *observed(second)])

    marked = with_breakpoint([*messages, {"role": "assistant", "content": [{"type": "text", "text": "So."}]}])

    assert 1 == json.dumps(marked).count("cache_control")
    assert {"type": "ephemeral"} == marked[-2]["content"][-1]["cache_control"]
    assert "cache_control" not in json.dumps(messages)


def test_without_a_result_nothing_is_a_breakpoint():
    assert "cache_control" not in json.dumps(with_breakpoint(messages_of([Told(text="Do.")])))


def test_thoughts_of_an_unknown_origin_are_kept():
    messages = [{"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "of old"}]}]

    assert messages == unbroken(messages, "head", {})[0]
    assert [{"type": "text", "text": "(nothing)"}] == unbroken(messages, "head", {"of old": "other"})[0][0]["content"]


@pytest.mark.parametrize(
    ("policy", "model", "sent"),
    [
        ("own", "claude-opus-5-5", None),
        ("adaptive", "claude-opus-5-5", "adaptive"),
        ("adaptive", "claude-sonnet-4-6", "adaptive"),
        ("adaptive", "claude-haiku-4-5-20251001", None),
        ("adaptive", "claude-opus-4-20250514", None),
        ("least", "claude-opus-5-5", None),
        ("least", "claude-sonnet-5-5", "between_tools"),
        ("least", "claude-opus-5", "disabled"),
        ("least", "claude-new-9", None),
        ("adaptive", "of-somebody-else", None),
    ],
)
def test_thinking_is_asked_for_only_where_it_can_be(policy, model, sent):
    assert (sent and {"type": sent}) == thinking_of(policy, model)


async def test_a_policy_for_thinking_is_sent(server):
    server.script.append(Answer(text="Yes."))
    claude = Claude(model=NAME, api_key=KEY, base_url=server.url, thinking="least")

    await claude.reply(asking())
    await claude.close()

    assert {"type": "between_tools"} == server.asked[0].body["thinking"]


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


def test_an_estimate_grows_with_what_is_said():
    small, large = asking(), asking(Told(text="Repair calc.py. " * 100))

    assert 0 < estimate_tokens(small) < estimate_tokens(large)
    assert 480 <= estimate_tokens(large) - estimate_tokens(small) <= 500


async def test_tokens_are_counted_by_the_api(server, claude):
    said = said_by_hand(a_call())
    request = asking(Told(text="Repair calc.py."), said, *observed(said))

    assert server.counted == []
    assert await claude.count_tokens(request) == server.counted[0].prompt_tokens


async def test_tokens_are_not_counted_where_nobody_counts(server, claude):
    server.counts = False

    assert await claude.count_tokens(asking()) is None


async def test_tokens_are_not_counted_for_a_wrong_key_or_by_nobody(server):
    wrong = Claude(model=NAME, api_key="sk-wrong", base_url=server.url)
    empty = Claude(model=NAME, api_key="", base_url=server.url)
    nobody = Claude(model=NAME, api_key=KEY, base_url="http://127.0.0.1:9")

    assert [None, None, None] == [await model.count_tokens(asking()) for model in (wrong, empty, nobody)]
    for model in (wrong, empty, nobody):
        await model.close()


# --- errors before the first event ------------------------------------------------------------------------------------

LIMIT = "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length"


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


# --- errors on the way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wrong_type", "redirect", "compressed", "long_line"])
async def test_what_is_not_the_protocol_is_garbled(server, claude, name):
    server.script.append(Fault(name=name))

    assert faults.Garbled is type(await fault_from(claude))


async def test_a_stream_without_an_end_is_left(server, claude, monkeypatch):
    monkeypatch.setattr("sidecar.agent.models.claude._STREAM_BYTES", 3_000_000)
    server.script.append(Fault(name="endless", first=Answer(text="Well, ")))

    caught = await fault_from(claude)

    assert faults.Garbled is type(caught)
    assert 2 == caught.usage.output


@pytest.mark.parametrize("name", ["no_answer", "no_http"])
async def test_no_answer_at_all_is_unreachable_and_costs_nothing(server, claude, name):
    server.script.append(Fault(name=name))

    caught = await fault_from(claude)

    assert faults.Unreachable is type(caught)
    assert {} == caught.usage.by_class()


async def test_a_refused_connection_is_unreachable():
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    claude = Claude(model=NAME, api_key=KEY, base_url=f"http://127.0.0.1:{port}")

    assert faults.Unreachable is type(await fault_from(claude))
    await claude.close()


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


@pytest.mark.parametrize(("name", "output"), [("silent", 0), ("silent_after_headers", 0), ("silent_midway", 2)])
async def test_silence_is_slow_and_charged_as_far_as_is_known(server, name, output):
    server.script.append(Fault(name=name, first=Answer(text="It is")))
    claude = Claude(model=NAME, api_key=KEY, base_url=server.url, timeouts=SHORT)

    caught = await fault_from(claude)
    await claude.close()

    assert faults.Slow is type(caught)
    assert output == caught.usage.output
    assert caught.usage.input > 0
    assert not caught.usage.measured


async def test_a_whole_answer_has_a_limit_however_lively_it_is(server, monkeypatch):
    monkeypatch.setattr("sidecar.agent.models.claude._STREAM_BYTES", 10**15)
    server.script.append(Fault(name="endless"))
    claude = Claude(model=NAME, api_key=KEY, base_url=server.url, timeouts=Timeouts(whole=0.1))

    assert faults.Slow is type(await fault_from(claude))
    await claude.close()


# --- cancelling, and the key ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["silent", "silent_midway"])
async def test_cancelling_closes_the_connection(server, claude, name):
    server.script.append(Fault(name=name, first=Answer(text="It is")))
    asked = asyncio.create_task(claude.reply(asking()))
    await server.said.wait()

    asked.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.wait_for(server.hung_up.wait(), 20)


async def test_after_a_fault_the_same_client_can_be_asked_again(server, claude):
    server.script.extend([Fault(name="reset"), Answer(text="Yes.")])

    await fault_from(claude)

    assert "Yes." == (await claude.reply(asking())).text


async def test_the_key_is_never_shown(server, claude, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    for name in ("anthropic", "httpx2", "httpcore2"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    echo = f"invalid x-api-key: {KEY}"
    server.script.append(Answer(text="Yes."))
    server.script.append(Fault(name="status", status=401, kind="authentication_error", message=echo))
    server.script.append(Fault(name="page", status=500, raw=b"x" * 490 + echo.encode()))
    server.script.append(Fault(name="error_event", message=echo))

    await claude.reply(asking())
    shown = [(await fault_from(claude)).message for _ in range(3)]

    assert "Status 401. authentication_error: invalid x-api-key: [the key]" == shown[0]
    assert "sk-ant" not in "".join(shown)
    assert f"Claude({NAME!r})" == repr(claude)
    assert KEY not in caplog.text


async def test_a_wrong_key_is_refused_without_showing_it(server):
    claude = Claude(model=NAME, api_key="sk-ant-wrong", base_url=server.url)

    caught = await fault_from(claude)
    await claude.close()

    assert faults.Unauthorized is type(caught)
    assert "sk-ant-wrong" not in str(caught)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
async def test_a_key_that_cannot_be_one_is_not_sent(server, key, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    claude = Claude(model=NAME, api_key=key, base_url=server.url)

    assert faults.Unauthorized is type(await fault_from(claude))
    assert [] == server.asked


@pytest.mark.parametrize("url", ["", "api.anthropic.com", "ftp://example.org", "http://[", "https://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="address of the API"):
        Claude(model=NAME, api_key=KEY, base_url=url)


# --- the server is strict ---------------------------------------------------------------------------------------------

DO = [{"type": "text", "text": "Do."}]
GOOD = {
    "model": NAME,
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": DO}],
}
USE = {"type": "tool_use", "id": "a", "name": "read_file", "input": {}}


async def post(server, body, headers=None):
    import httpx2

    named = {"anthropic-version": "2026-10-21", "x-api-key": KEY} if headers is None else headers
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(f"{server.url}/v1/messages", json=body, headers=named)


def talk(*contents):
    roles = ["user", "assistant"] * len(contents)
    return {
        **GOOD,
        "messages": [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)],
    }


MARKED = {"type": "text", "text": "Do.", "cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "of nobody"}


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
