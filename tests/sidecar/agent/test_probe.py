"""The trial of a model: which dialect suits it, whether its context is there, and what is no fault of its own."""

from __future__ import annotations

import json
import re

import pytest

from apps.demo.player import play
from sidecar.agent import faults
from sidecar.agent.dialects.fenced import Fenced, render_call
from sidecar.agent.dialects.native import Native
from sidecar.agent.models.ollama import Ollama
from sidecar.agent.probe import ENOUGH, probe
from sidecar.agent.talk import Call
from tests.providers.ollama import NAME, Answer, Fault, OllamaServer, serving

CONTEXT = 16_384


def in_blocks(asked):
    """A model that answers in fenced blocks whether it was told of them or not."""
    played = play(asked) if asked.tools else _from_words(asked)
    calls = [Call(name=call["name"], arguments=call["arguments"]) for call in played.calls]
    return Answer(text="\n".join(map(render_call, calls)))


def _from_words(asked):
    """As the player does it, where observations come in words."""
    first = str(asked.messages[1]["content"])
    if "the word that is in it" in first:
        return Answer(calls=[{"name": "finish_task", "arguments": {"summary": asked.last["content"][-20:]}}])
    return play(asked)


def forgetful(asked):
    """Calls well, and has lost the beginning of what is long."""
    if "The word is" in asked.messages[1]["content"]:
        return Answer(calls=[{"name": "finish_task", "arguments": {"summary": "I do not know"}}])
    return play(asked)


async def tried(player, *, context=CONTEXT, dialects=None):
    server = OllamaServer(player=player)
    async with serving(server):
        model = Ollama(url=server.url, model=NAME, context=context)
        try:
            return await probe(model, dialects or [Native(), Fenced()]), server
        finally:
            await model.close()


async def test_a_model_that_calls_well_is_spoken_to_in_the_first_dialect():
    found, server = await tried(play)

    assert ("native", "") == (found.dialect, found.reason)
    assert [("native", 4, 4, 0, ())] == [(s.dialect, s.passed, s.trials, s.repairs, s.wrong) for s in found.scores]
    assert 5 == len(server.asked)
    assert {0.0} == {asked.body["options"]["temperature"] for asked in server.asked}


async def test_the_context_is_measured_nearly_full():
    found, server = await tried(play)

    assert server.asked[-1].prompt_tokens == found.context_measured
    assert CONTEXT / 2 < found.context_measured < CONTEXT


@pytest.mark.parametrize("context", [4_096, 8_192, 16_384, 131_072])
@pytest.mark.parametrize("dialect", [Native(), Fenced()], ids=["native", "fenced"])
async def test_a_full_context_has_room_for_a_tokenizer_that_makes_a_third_more_tokens(context, dialect):
    player = play if "native" == dialect.name else in_blocks
    _, server = await tried(player, context=context, dialects=[dialect])

    system, tools = server.asked[-1].messages, server.asked[-1].body.get("tools")
    length = sum(len(message["content"]) for message in system) + len(json.dumps(tools or ""))
    assert length / (3.3 * 0.75) < context


async def test_a_model_that_cannot_call_natively_is_tried_in_fenced_blocks():
    def mute_with_tools(asked):
        return Answer(text="I would read the file.") if asked.tools else in_blocks(asked)

    def forgetting(asked):
        server_of[0].forget()
        return mute_with_tools(asked)

    server = OllamaServer(player=forgetting)
    server_of = [server]
    async with serving(server):
        model = Ollama(url=server.url, model=NAME, context=CONTEXT)
        found = await probe(model, [Native(), Fenced()])
        await model.close()

    assert ("fenced", "") == (found.dialect, found.reason)
    assert [("native", 0), ("fenced", 4)] == [(score.dialect, score.passed) for score in found.scores]
    assert "one call: no call" in found.scores[0].wrong


async def test_a_model_that_calls_in_no_dialect_is_not_offered_and_told_why():
    server = OllamaServer()

    def chatting(asked):
        server.forget()
        return Answer(text="How may I help you?")

    server.player = chatting
    async with serving(server):
        model = Ollama(url=server.url, model=NAME, context=CONTEXT)
        found = await probe(model, [Native(), Fenced()])
        await model.close()

    assert ("", 0) == (found.dialect, found.context_measured)
    assert re.match(r"It cannot call tools well enough: native: 0 of 4 .*; fenced: 0 of 4", found.reason)


@pytest.mark.parametrize("wrong", ["first", "second"])
async def test_three_of_four_are_enough_and_two_are_not(wrong):
    asked_for = {"first": ("to do.txt",), "second": ("to do.txt", "greet.py")}[wrong]

    def sloppy(asked):
        if any(word in asked.messages[1]["content"] for word in asked_for):
            return Answer(calls=[{"name": "list_directory", "arguments": {"path": "."}}])
        return play(asked)

    found, _ = await tried(sloppy, dialects=[Native()])

    assert 4 - len(asked_for) == found.scores[0].passed
    assert (found.scores[0].passed >= 4 * ENOUGH) == bool(found.dialect)
    assert "one call: called list_directory" in found.scores[0].wrong


async def test_the_same_arguments_for_another_tool_are_wrong():
    def other(asked):
        played = play(asked)
        listed = [{**call, "name": "list_directory"} for call in played.calls]
        return Answer(calls=listed) if "Make both calls" in asked.messages[1]["content"] else played

    found, _ = await tried(other, dialects=[Native()])

    assert ("two calls: called list_directory, list_directory",) == found.scores[0].wrong


async def test_repairs_are_counted():
    def in_strings(asked):
        played = play(asked)
        return Answer(calls=[{**call, "arguments": json.dumps(call["arguments"])} for call in played.calls])

    found, _ = await tried(in_strings, dialects=[Native()])

    assert (4, 4) == (found.scores[0].passed, found.scores[0].repairs)


async def test_what_is_the_models_own_fault_costs_a_point():
    def empty_at_first(asked):
        return Answer() if "to do.txt" in asked.messages[1]["content"] else play(asked)

    found, _ = await tried(empty_at_first, dialects=[Native()])

    assert ("native", ("one call: empty_reply",)) == (found.dialect, found.scores[0].wrong)


async def test_a_model_that_has_lost_the_beginning_is_not_offered():
    found, _ = await tried(forgetful)

    assert "" == found.dialect
    assert f"It lost the beginning of a prompt of {found.context_measured} tokens." == found.reason


async def test_a_context_that_is_smaller_than_it_is_said_to_be_is_found_out():
    def cut(asked):
        if "The word is" in asked.messages[1]["content"]:
            return Fault(name="status", status=400, error="the request exceeds the available context size")
        return play(asked)

    found, _ = await tried(cut)

    assert ("", 0) == (found.dialect, found.context_measured)
    assert found.reason.startswith(f"Its context of {CONTEXT} tokens is not really there")


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (Fault(name="status", status=500, error="out of memory"), faults.ServerError),
        (Fault(name="status", status=401, error="no"), faults.Unauthorized),
        (Fault(name="no_answer"), faults.Unreachable),
        (Fault(name="no_http"), faults.Garbled),
    ],
)
@pytest.mark.parametrize("at", ["a trial", "the context"])
async def test_a_fault_of_the_endpoint_says_nothing_about_the_model(fault, raised, at):
    def failing(asked):
        full = "The word is" in asked.messages[1]["content"]
        return fault if full == ("the context" == at) else play(asked)

    with pytest.raises(raised):
        await tried(failing)
