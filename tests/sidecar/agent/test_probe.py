"""The trial of a model: which dialect suits it, whether its context is there, and what is no fault of its own."""

from __future__ import annotations

import json
import re

import pytest

from apps.demo import trial
from apps.demo.acting import seen_in
from apps.demo.player import play
from sidecar.agent import faults, trials
from sidecar.agent.dialects.fenced import Fenced, render_call
from sidecar.agent.dialects.native import Native
from sidecar.agent.models.ollama import Ollama
from sidecar.agent.probe import probe
from sidecar.agent.talk import Call
from sidecar.agent.tools.specs import SPECS
from tests.providers.ollama import NAME, Answer, Fault, OllamaServer, serving

CONTEXT = 16_384


def in_blocks(asked):
    """A model that answers in fenced blocks whether it was told of them or not."""
    calls = [Call(name=call["name"], arguments=call["arguments"]) for call in play(asked).calls]
    return Answer(text="\n".join(map(render_call, calls)))


def forgetful(asked):
    """Calls well, and has lost the beginning of what is long."""
    if "The word is" in asked.messages[1]["content"]:
        return Answer(calls=[{"name": "finish_task", "arguments": {"summary": "I do not know"}}])
    return play(asked)


def but(*others):
    """Plays well, but for the first requests in which the words stand: there it gives the other answer."""

    def player(asked):
        said = json.dumps(asked.messages, ensure_ascii=False)
        return next((answer for words, answer in others if words in said), None) or play(asked)

    return player


def calling(tool, **arguments):
    return Answer(calls=[{"name": tool, "arguments": arguments}])


LISTING = calling("list_directory", path=".")


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
    assert [("native", 12, 12, 0, ())] == [(s.dialect, s.passed, s.trials, s.repaired, s.wrong) for s in found.scores]
    assert "12 of 12 right" == found.scores[0].in_words()
    assert 13 == len(server.asked)
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
    assert [("native", 0), ("fenced", 12)] == [(score.dialect, score.passed) for score in found.scores]
    assert "numbers: no call" in found.scores[0].wrong


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
    assert re.match(r"It cannot call tools well enough: native: 0 of the first 4 .*\. fenced: 0 of", found.reason)


SLIPS = ("to do.txt", "sort -t: -k2", "greet.py", "menü.json")


@pytest.mark.parametrize("slips", [3, 4])
async def test_nine_of_twelve_are_enough_and_eight_are_not(slips):
    found, server = await tried(but(*((words, LISTING) for words in SLIPS[:slips])), dialects=[Native()])

    assert (slips == 3) == found.scores[0].good == bool(found.dialect)
    assert (13 if slips == 3 else 4) == len(server.asked)
    assert "numbers: called list_directory" in found.scores[0].wrong


async def test_a_model_that_can_no_longer_pass_is_not_asked_the_rest():
    late = [("Make both calls", LISTING), ("sums.py", LISTING), ("multiply", Answer(text="Done.")), ("Ran 17", LISTING)]

    nearly, of_nearly = await tried(but(*late[:3]), dialects=[Native()])
    never, of_never = await tried(but(*late[:3], *((words, LISTING) for words in SLIPS[:1])), dialects=[Native()])

    assert (True, 13) == (nearly.scores[0].good, len(of_nearly.asked))
    assert (False, 11) == (never.scores[0].good, len(of_never.asked))
    assert never.scores[0].in_words().startswith("7 of the first 11 right, weak in numbers: called list_directory; ")


SAME_EDIT = {"path": "calc.py", "old": "return a-b\n", "new": "return a + b\n"}
READ_FIRST = {"name": "list_directory", "arguments": {"path": "src"}}


@pytest.mark.parametrize(
    ("words", "answer", "wrong"),
    [
        ("to do.txt", calling("read_file", path="notes/to do.txt", start=3), "numbers: read_file with another count"),
        (
            "sort -t: -k2",
            calling("run_command", command=trials.COMMAND["command"], timeout_seconds=5),
            "an argument left out: run_command with timeout_seconds, which nobody asked for",
        ),
        (
            "greet.py",
            calling("write_file", path="greet.py", content=trials.QUOTES["content"].replace("\n", "\\n")),
            "quotes and newlines: write_file with another content",
        ),
        (
            "menü.json",
            calling("write_file", **{**trials.NESTED, "content": trials.NESTED["content"].replace("卵", "?")}),
            "nested, beyond ASCII: write_file with another content",
        ),
        (
            "app/rates.py",
            calling("edit_file", **{name: text.lstrip() for name, text in trials.INDENTED.items()}),
            "indentation: edit_file with another old",
        ),
        ("Where is", LISTING, "a tool for words: called list_directory"),
        ("Where is", calling("search_files", pattern="sum"), "a tool for words: searched for something else"),
        (
            "Make both calls",
            Answer(calls=[READ_FIRST, READ_FIRST]),
            "two calls: called list_directory, list_directory",
        ),
        (
            "sums.py",
            calling("read_file", path="total.py"),
            "a call after an observation: read another file",
        ),
        ("does not occur", calling("edit_file", **SAME_EDIT), "an error: made an edit that does not fit"),
        ("does not occur", calling("finish_task", summary="Done."), "an error: called finish_task"),
        ("was carried out", calling("read_file", start=5, count=5), "a complaint: not understood"),
        ("AssertionError", calling("finish_task", summary="Done."), "a check that fails: called finish_task"),
        ("AssertionError", Answer(text="It is done."), "a check that fails: no call"),
        ("Ran 17", LISTING, "a check that passes: called list_directory"),
        (
            "Ran 17",
            calling("finish_task", summary="All is well."),
            "a check that passes: did not say what it had seen",
        ),
    ],
)
async def test_each_weakness_costs_its_own_trial_and_is_said(words, answer, wrong):
    found, _ = await tried(but((words, answer)), dialects=[Native()])

    assert ("native", True) == (found.dialect, found.scores[0].good)
    assert wrong in found.scores[0].wrong
    assert wrong in found.scores[0].in_words()
    assert found.scores[0].passed == 12 - len(found.scores[0].wrong) >= 10


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("does not occur", calling("read_file", path="calc.py")),
        ("does not occur", calling("edit_file", path="calc.py", old="    return a - b", new="    return a + b")),
        ("AssertionError", calling("read_file", path="./multiply.py")),
        ("Ran 17", calling("finish_task", summary="Seventeen tests ran.")),
        ("sums.py", calling("read_file", path="./src/billing/sums.py", start=10, count=20)),
    ],
)
async def test_there_is_more_than_one_good_way(words, answer):
    found, _ = await tried(but((words, answer)), dialects=[Native()])

    assert () == found.scores[0].wrong


async def test_calls_that_are_made_one_by_one_are_right_and_it_is_said():
    one = Answer(calls=[READ_FIRST])

    found, _ = await tried(but(("Make both calls", one)), dialects=[Native()])

    assert 12 == found.scores[0].passed
    assert "12 of 12 right, two calls: made them one by one" == found.scores[0].in_words()


@pytest.mark.parametrize("dialect", [Native(), Fenced()], ids=["native", "fenced"])
async def test_all_seven_tools_are_called_for_and_no_request_is_long(dialect):
    _, server = await tried(play if "native" == dialect.name else in_blocks, dialects=[dialect])

    made = {act.tool for asked in server.asked[:12] for act in _acts(asked)}
    assert {spec.name for spec in SPECS} == made
    assert sum(asked.prompt_tokens for asked in server.asked[:12]) <= 9_500  # docs/models.md says what that costs


def _acts(asked):
    return trial.passed(asked.messages[1]["content"], seen_in(asked.messages))


async def test_the_speed_is_by_the_servers_clock_for_a_call_comes_in_one_piece():
    found, server = await tried(play)

    speeds = sorted(billed.output / 0.0008 for billed in server.billed[:12])
    assert round(speeds[6], 1) == found.tokens_per_second


async def test_repairs_are_counted():
    def in_strings(asked):
        played = play(asked)
        return Answer(calls=[{**call, "arguments": json.dumps(call["arguments"])} for call in played.calls])

    found, _ = await tried(in_strings, dialects=[Native()])

    assert (12, 12) == (found.scores[0].passed, found.scores[0].repaired)
    assert "12 of 12 right, 12 repaired" == found.scores[0].in_words()


async def test_what_is_the_models_own_fault_costs_a_point():
    def empty_at_first(asked):
        return Answer() if "to do.txt" in asked.messages[1]["content"] else play(asked)

    found, _ = await tried(empty_at_first, dialects=[Native()])

    assert ("native", ("numbers: empty_reply",)) == (found.dialect, found.scores[0].wrong)


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
