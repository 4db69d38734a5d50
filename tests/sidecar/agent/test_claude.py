"""Claude's client against a server that speaks Anthropic's wire: what it sends, keeps, waits for, and never shows."""

import asyncio
import logging

import pytest

from sidecar.agent import faults
from sidecar.agent.models.claude import Claude, Timeouts
from sidecar.agent.talk import Observed, RawCall, Said, Told, Turn
from tests.providers.anthropic import KEY, NAME, Answer, AnthropicServer, Fault, serving
from tests.providers.asking_claude import (
    READ,
    READING,
    RUN,
    a_call,
    asking,
    carried_out,
    fault_from,
    observed,
    said_by_hand,
)

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


def said_at(turns, place):
    said = turns[place]
    assert isinstance(said, Said)
    return said


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


async def test_a_policy_for_thinking_is_sent(server):
    server.script.append(Answer(text="Yes."))
    claude = Claude(model=NAME, api_key=KEY, base_url=server.url, thinking="least")

    await claude.reply(asking())
    await claude.close()

    assert {"type": "between_tools"} == server.asked[0].body["thinking"]


# --- counting ---------------------------------------------------------------------------------------------------------


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


# --- limits, and cancelling -------------------------------------------------------------------------------------------


async def test_a_stream_without_an_end_is_left(server, claude, monkeypatch):
    monkeypatch.setattr("sidecar.agent.models.claude._STREAM_BYTES", 3_000_000)
    server.script.append(Fault(name="endless", first=Answer(text="Well, ")))

    caught = await fault_from(claude)

    assert faults.Garbled is type(caught)
    assert 2 == caught.usage.output


async def test_silence_before_any_answer_is_slow_and_nobody_knows_what_it_cost(server):
    server.script.append(Fault(name="silent"))
    claude = Claude(model=NAME, api_key=KEY, base_url=server.url, timeouts=SHORT)

    caught = await fault_from(claude)
    await claude.close()

    assert faults.Slow is type(caught)
    assert (False, {}) == (caught.usage.measured, caught.usage.by_class())


@pytest.mark.parametrize(("name", "output"), [("silent_after_headers", 0), ("silent_midway", 2)])
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


# --- the key, and the address -----------------------------------------------------------------------------------------


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
