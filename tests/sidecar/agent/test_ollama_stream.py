"""An Ollama stream that goes wrong, or ends well without being a reply: each is a named fault with its cost."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.agent import faults
from sidecar.agent.talk import Told
from tests.providers.ollama import Answer, Fault
from tests.sidecar.agent.ollama_questions import CONTEXT, READ, question

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
