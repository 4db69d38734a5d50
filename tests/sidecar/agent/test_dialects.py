"""How calls are asked for, put and read back in each dialect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.agent.dialects.base import Dialect
from sidecar.agent.dialects.fenced import Fenced, render_call
from sidecar.agent.dialects.native import Native
from sidecar.agent.talk import Call, Observed, RawCall, Reply, Said, Told, ToolSpec, Turn
from sidecar.agent.tools.specs import SPECS

CHARACTERS_PER_TOKEN = 3.3
PATIENT = settings(deadline=None)  # a shared machine is slow at times; that breaks nothing
NASTY = (
    "```", "````", "``` ", "```\n", "\n```write_file\n", "~~~", "`", "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE",
    "========", "\n", "\r\n", "\r", "\n\n", "\t", " ", '"', "'", "\\", "\\n", "<tool_call>", "</tool_call>",
    "</parameter>", "&amp;", "<", "path: x", "\ncwd: y\n", "unended: content", "ä", "😀", "\u2028", "\x0b", "\x00",
    "x = 1", "{", "}", "</think>", "<think>", "For example:", "Wait, no.", "Result of read_file: {}",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(NASTY) | st.text(max_size=4), max_size=12).map("".join)


def arguments_of(spec: ToolSpec) -> st.SearchStrategy[dict[str, Any]]:
    properties = spec.parameters["properties"]
    made = {name: TEXT if schema["type"] == "string" else st.integers(1, 500) for name, schema in properties.items()}
    required = {name: made[name] for name in spec.required}
    optional = {name: made[name].filter(bool) for name in made if name not in required}
    drawn = st.fixed_dictionaries(required, optional=optional)
    return drawn.map(lambda arguments: {name: arguments[name] for name in made if name in arguments})


CALLS = st.sampled_from(SPECS).flatmap(
    lambda spec: arguments_of(spec).map(lambda arguments: Call(name=spec.name, arguments=arguments))
)


def said(*calls: Call, text: str = "") -> Said:
    raw = tuple(RawCall(name=call.name, arguments=call.arguments, id=call.id) for call in calls)
    return Said(reply=Reply(text=text, calls=raw, stop="tools"), calls=calls)


def pairs(calls: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, dict(call.arguments)) for call in calls]


# --- there and back ---------------------------------------------------------------------------------------------------


@PATIENT
@given(calls=st.lists(CALLS, min_size=1, max_size=3))
def test_calls_put_as_blocks_read_back_as_themselves(calls: list[Call]) -> None:
    text = "\n\n".join(render_call(call) for call in calls)

    reading = Fenced().read(Reply(text=text), SPECS)

    assert pairs(calls) == pairs(reading.calls)
    assert ((), "") == (reading.repairs, reading.complaint)


@PATIENT
@given(calls=st.lists(CALLS, min_size=1, max_size=3))
def test_native_calls_read_back_as_themselves(calls: list[Call]) -> None:
    reading = Native().read(said(*calls).reply, SPECS)

    assert pairs(calls) == pairs(reading.calls)
    assert ((), "") == (reading.repairs, reading.complaint)


@PATIENT
@given(call=CALLS)
def test_a_native_call_put_in_the_fenced_dialect_reads_back_as_itself(call: Call) -> None:
    [turn] = Fenced().render([said(call)])

    assert isinstance(turn, Said)
    assert () == turn.reply.calls
    assert pairs([call]) == pairs(Fenced().read(turn.reply, SPECS).calls)


@PATIENT
@given(old=TEXT, new=TEXT)
def test_an_edit_of_several_lines_is_put_as_search_and_replace(old: str, new: str) -> None:
    call = Call(name="edit_file", arguments={"path": "a.py", "old": f"{old}\nx", "new": new})

    text = render_call(call)

    assert "SEARCH" in text
    assert pairs([call]) == pairs(Fenced().read(Reply(text=text), SPECS).calls)


# --- what a model is told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "tokens"), [(Native(), 60), (Fenced(), 450)])
def test_instructions_are_short(dialect: Dialect, tokens: int) -> None:
    assert len(dialect.instructions(SPECS)) / CHARACTERS_PER_TOKEN <= tokens


def test_the_fenced_dialect_tells_of_every_tool_in_words_and_of_none_in_the_request() -> None:
    told = Fenced().instructions(SPECS)

    assert [] == [spec.name for spec in SPECS if f"- {spec.name}: " not in told]
    assert () == Fenced().specs(SPECS)
    assert SPECS == Native().specs(SPECS)


def test_the_blocks_in_the_instructions_are_calls() -> None:
    reading = Fenced().read(Reply(text=Fenced().instructions(SPECS).partition("\n\n```")[2].join(["```", ""])), SPECS)

    assert ["read_file", "write_file", "edit_file", "run_command"] == [call.name for call in reading.calls]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("dialect", [Native(), Fenced()], ids=lambda dialect: dialect.name)
def test_a_complaint_shows_a_correct_call_which_does_nothing_when_copied(dialect: Dialect, spec: ToolSpec) -> None:
    complaint = dialect.read(Reply(calls=(RawCall(name=spec.name, arguments={}),)), SPECS).complaint

    example = complaint.partition("looks like this:")[2].strip()

    assert f"“{spec.required[0]}” is missing" in complaint
    assert "placeholder" in dialect.read(Reply(text=example), SPECS).complaint


def test_an_unknown_tool_is_answered_with_those_that_there_are() -> None:
    complaint = Native().read(Reply(calls=(RawCall(name="deploy", arguments={}),)), SPECS).complaint

    assert "there is no tool “deploy”" in complaint
    assert [] == [spec.name for spec in SPECS if spec.name not in complaint]


# --- how the talk is put ----------------------------------------------------------------------------------------------

CALL = Call(name="read_file", arguments={"path": "a.py"}, id="call_1")


def test_results_of_one_answer_are_one_turn_in_words() -> None:
    turns: list[Turn] = [
        Told(text="Do it."),
        said(CALL, CALL),
        Observed(call=CALL, text='{"a": 1}'),
        Observed(call=CALL, text="{}"),
    ]

    rendered = Fenced().render(turns)

    assert turns[0] == rendered[0]
    assert Told(text='Result of read_file: {"a": 1}\nResult of read_file: {}') == rendered[2]
    assert 3 == len(rendered)


def test_a_nudge_after_results_stays_a_turn_of_its_own() -> None:
    rendered = Fenced().render([Observed(call=CALL, text="{}"), Told(text="Try another way.")])

    assert [Told(text="Result of read_file: {}"), Told(text="Try another way.")] == rendered


def test_what_a_talk_begins_with_is_put_the_same_however_it_goes_on() -> None:
    turns: list[Turn] = [
        Told(text="Do it."),
        said(CALL, text="I look."),
        Observed(call=CALL, text="{}"),
        Told(text="Go on."),
    ]

    for dialect in (Native(), Fenced()):
        whole = list(dialect.render(turns))
        assert whole[:3] == list(dialect.render(turns[:3]))


def test_words_that_held_the_call_are_left_as_they_were() -> None:
    text = "I look.\n```read_file\npath: a.py\n```"

    [turn] = Fenced().render([Said(reply=Reply(text=text), calls=(CALL,))])

    assert isinstance(turn, Said)
    assert text == turn.reply.text


def test_a_call_that_was_only_thought_is_put_in_words() -> None:
    [turn] = Fenced().render([Said(reply=Reply(thinking="hm"), calls=(CALL,))])

    assert isinstance(turn, Said)
    assert "```read_file\npath: a.py\n```" == turn.reply.text


def test_refused_native_calls_are_shown_where_nothing_else_shows_them() -> None:
    refused = Reply(calls=(RawCall(name="write_file", arguments={"path": "a.py"}),))
    claudes = Reply(calls=refused.calls, blocks=({"type": "tool_use", "id": "1"},))

    shown, kept = Native().render([Said(reply=refused), Said(reply=claudes)])

    assert isinstance(shown, Said)
    assert '[not carried out: write_file {"path": "a.py"}]' == shown.reply.text
    assert Said(reply=claudes) == kept


# --- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_ids", "ids"),
    [(["", ""], ["call_1", "call_2"]), (["a", "a"], ["a", "call_1"]), (["", "call_1"], ["call_2", "call_1"])],
)
def test_every_call_of_a_reply_has_an_id_of_its_own(given_ids: list[str], ids: list[str]) -> None:
    calls = tuple(RawCall(name="read_file", arguments={"path": "a.py"}, id=name) for name in given_ids)

    assert ids == [call.id for call in Native().read(Reply(calls=calls), SPECS).calls]


def test_repairs_are_told_once_each() -> None:
    text = '<tool_call>\n{"name": "bash", "arguments": "{\'cmd\': \'ls\'}"}\n</tool_call>'

    reading = Native().read(Reply(text=text), SPECS)

    assert ("alias", "argument", "from_text", "json", "string_arguments") == reading.repairs


def test_a_range_in_header_lines_needs_no_repair() -> None:
    reading = Fenced().read(Reply(text="```read_file\npath: a.py\nstart: 5\n```"), SPECS)

    assert ((), {"path": "a.py", "start": 5}) == (reading.repairs, reading.calls[0].arguments)
