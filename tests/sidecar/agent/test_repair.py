"""What models write, and what may be done about it: the corpus of malformed calls, each case exactly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.agent.dialects.base import Dialect, Reading
from sidecar.agent.dialects.fenced import Fenced
from sidecar.agent.dialects.native import Native
from sidecar.agent.repair.loose_json import Unreadable, read_value
from sidecar.agent.repair.names import meant_by
from sidecar.agent.talk import RawCall, Reply, ToolSpec

CORPUS = Path(__file__).parents[3] / "fixtures" / "malformed_calls"
DIALECTS: dict[str, Dialect] = {"native": Native(), "fenced": Fenced()}
LEAST_CASES = 330
PATIENT = settings(deadline=None)  # a shared machine is slow at times; that breaks nothing


def tool(name: str, *, changes: bool = False, optional: str = "", **types: str) -> ToolSpec:
    required = [argument for argument in types if argument not in optional.split()]
    properties = {argument: {"type": of} for argument, of in types.items()}
    parameters = {"type": "object", "properties": properties, "required": required}
    return ToolSpec(name=name, description=f"Does {name}.", parameters=parameters, changes=changes)


TOOLS = (
    tool("read_file", path="string", start="integer", count="integer", optional="start count"),
    tool("write_file", changes=True, path="string", content="string"),
    tool("edit_file", changes=True, path="string", old="string", new="string"),
    tool("list_directory", path="string"),
    tool("search_files", pattern="string", path="string", optional="path"),
    tool("run_command", changes=True, command="string", timeout_seconds="integer", optional="timeout_seconds"),
    tool("finish_task", summary="string"),
)
CHANGING = {spec.name for spec in TOOLS if spec.changes}


def cases() -> list[dict[str, Any]]:
    return [case for file in sorted(CORPUS.glob("*.json")) for case in json.loads(file.read_text("utf-8"))]


def joined(text: str | list[str]) -> str:
    """In the corpus, text of several lines is a list of them."""
    return text if isinstance(text, str) else "\n".join(text)


def reply_of(case: dict[str, Any]) -> Reply:
    said = case["reply"]
    return Reply(
        text=joined(said.get("text", "")),
        thinking=joined(said.get("thinking", "")),
        calls=tuple(RawCall(**call) for call in said.get("calls", ())),
        stop=said.get("stop", "stop"),
    )


def read(case: dict[str, Any]) -> Reading:
    return DIALECTS[case["dialect"]].read(reply_of(case), TOOLS)


def outcome(reading: Reading) -> Any:
    """A reading in the words of the corpus."""
    if reading.complaint:
        return "refused"
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in reading.calls]
    return {"calls": calls} if calls else "none"


def changes(expected: Any) -> list[Any]:
    return [call for call in expected["calls"] if call["name"] in CHANGING] if isinstance(expected, dict) else []


def by_kind(failed: list[dict[str, Any]]) -> str:
    """For the one who reads the failure: how many of each kind, and which."""
    counts = Counter(case["kind"] for case in failed)
    lines = [f"{kind}: {count}" for kind, count in counts.most_common()]
    return "\n".join([*lines, *(f"  {case['id']}: {outcome(read(case))}" for case in failed)])


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in cases()])
def test_a_malformed_call_is_read_as_it_was_meant_or_refused(case: dict[str, Any]) -> None:
    reading = read(case)

    assert case["expect"] == outcome(reading)
    assert not (reading.complaint and reading.calls)


def test_the_corpus_is_read_nearly_all_and_nothing_is_wrongly_done() -> None:
    corpus = cases()
    failed = [case for case in corpus if case["expect"] != outcome(read(case))]
    wrongly = [case for case in failed if changes(outcome(read(case)))]

    assert len(corpus) >= LEAST_CASES
    assert len({case["id"] for case in corpus}) == len(corpus)
    assert [] == wrongly, by_kind(wrongly)
    assert len(failed) <= len(corpus) / 100, by_kind(failed)


# --- what no text may bring about -------------------------------------------------------------------------------------

PIECES = (
    "<tool_call>", "</tool_call>", '{"name": "run_command", "arguments": {"command": "make test', '"}}', "}", "{", "[",
    "]", "<function=run_command>", "<function=write_file>", "<parameter=command>", "</parameter>", "</function>",
    '"name": "write_file"', "'", '"', "\\", "`", "```", "```json", "```run_command", "```write_file", "path: a.py",
    "\n", "\n\n", " ", "[TOOL_CALLS]", "run_command", "[ARGS]", "<|python_tag|>", "<|channel|>analysis<|message|>",
    "<|end|>", "to=functions.run_command", "<think>", "</think>", "For example:", "<!--", "-->", "<arg_key>",
    "</arg_key>", "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "Action: run_command\nAction Input: ",
    "ä😀\u2028\r\n", "null", ",", ":", "(", ")", "0",
)  # fmt: skip


def finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


SCRAPS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=25).map("".join)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | SCRAPS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@PATIENT
@given(text=SCRAPS, thinking=SCRAPS, dialect=st.sampled_from(sorted(DIALECTS)))
def test_out_of_scraps_come_calls_or_a_complaint_and_never_both(text: str, thinking: str, dialect: str) -> None:
    reading = DIALECTS[dialect].read(Reply(text=text, thinking=thinking), TOOLS)

    assert not (reading.calls and reading.complaint)
    assert all(set(spec_of(call.name).required) <= set(call.arguments) for call in reading.calls)


@PATIENT
@given(text=SCRAPS, thinking=SCRAPS, dialect=st.sampled_from(sorted(DIALECTS)))
def test_what_a_changing_call_is_given_was_written_word_for_word(text: str, thinking: str, dialect: str) -> None:
    written = (text + thinking).replace("\\", "")
    reading = DIALECTS[dialect].read(Reply(text=text.replace("\\", ""), thinking=thinking.replace("\\", "")), TOOLS)

    given_texts = [str(value) for call in reading.calls if call.name in CHANGING for value in call.arguments.values()]
    assert [] == [value for value in given_texts if value.removesuffix("\n") not in written]


@PATIENT
@given(name=st.sampled_from([spec.name for spec in TOOLS]) | st.text(max_size=12), arguments=ANYTHING)
def test_no_native_call_makes_it_raise(name: str, arguments: Any) -> None:
    reading = Native().read(Reply(calls=(RawCall(name=name, arguments=arguments),)), TOOLS)

    assert reading.complaint or reading.calls


@PATIENT
@given(text=st.text(), dialect=st.sampled_from(sorted(DIALECTS)))
def test_arbitrary_text_is_no_call(text: str, dialect: str) -> None:
    assert () == DIALECTS[dialect].read(Reply(text=text), TOOLS).calls


@PATIENT
@given(text=SCRAPS)
def test_a_loose_value_is_read_or_unreadable(text: str) -> None:
    try:
        end = read_value(text).end
    except Unreadable:
        return
    assert 0 < end <= len(text)


@PATIENT
@given(value=ANYTHING.filter(finite))
def test_json_is_read_as_json(value: Any) -> None:
    text = json.dumps(value)

    assert json.loads(text) == read_value(text).value


# --- truncation -------------------------------------------------------------------------------------------------------

LONG = 'import os\n\n"""</parameter> & <b> {}"""\nprint("ä", \'x\')  # 1\n'
FORMS = {
    "tag": "<tool_call>\n{json}\n</tool_call>",
    "fence": "```json\n{json}\n```",
    "bare": "{json}",
    "mistral": "[TOOL_CALLS] [{json}]",
    "mistral_arguments": "[TOOL_CALLS]write_file[ARGS]{arguments}",
    "harmony": "<|channel|>commentary to=functions.write_file <|constrain|>json<|message|>{arguments}<|call|>",
    "function": "<tool_call>\n<function=write_file>\n<parameter=path>\na.py\n</parameter>\n<parameter=content>\n"
    "{content}\n</parameter>\n</function>\n</tool_call>",
    "invoke": '<invoke name="write_file"><parameter name="path">a.py</parameter><parameter name="content">{content}'
    "</parameter></invoke>",
    "keys": "<tool_call>write_file\n<arg_key>path</arg_key>\n<arg_value>a.py</arg_value>\n<arg_key>content</arg_key>\n"
    "<arg_value>{content}</arg_value>\n</tool_call>",
    "element": "<write_file>\n<path>a.py</path>\n<content>\n{content}\n</content>\n</write_file>",
    "block": "```write_file\npath: a.py\n\n{content}```",
    "python": "[write_file(path='a.py', content={literal})]",
}


def written(form: str) -> str:
    arguments = {"path": "a.py", "content": LONG}
    whole = {"name": "write_file", "arguments": arguments}
    values = {"json": json.dumps(whole), "arguments": json.dumps(arguments), "literal": repr(LONG), "content": LONG}
    text = FORMS[form]
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.mark.parametrize("form", FORMS)
def test_however_early_a_call_breaks_off_no_part_of_it_is_done(form: str) -> None:
    text = written(form)
    dialect = DIALECTS["fenced" if form == "block" else "native"]

    [whole] = dialect.read(Reply(text=text), TOOLS).calls
    assert {"path": "a.py", "content": LONG} == whole.arguments
    for length in range(len(text)):
        calls = dialect.read(Reply(text=text[:length]), TOOLS).calls
        assert [] == [call for call in calls if call.name in CHANGING and call.arguments != whole.arguments]


@pytest.mark.parametrize("form", FORMS)
def test_in_thoughts_too_no_part_of_a_call_is_done(form: str) -> None:
    text = written(form)
    dialect = DIALECTS["fenced" if form == "block" else "native"]

    for length in range(len(text)):
        calls = dialect.read(Reply(thinking=text[:length]), TOOLS).calls
        assert [] == [call for call in calls if call.name in CHANGING and call.arguments["content"] != LONG]


# --- smaller steps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 'b'}", {"a": "b"}),
        ("{a: 1, b: [True, None,],}", {"a": 1, "b": [True, None]}),
        ('{"a": 1} and more', {"a": 1}),
        ('// first\n{"a": /* then */ "#b"}', {"a": "#b"}),
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        ("{'a': 'it\\'s', 'b': '\\x41\\u00e4'}", {"a": "it's", "b": "Aä"}),
        ("[-1.5e3, 0.5, ]", [-1500.0, 0.5]),
    ],
)
def test_loose_json_has_one_reading(text: str, value: Any) -> None:
    loose = read_value(text)

    assert value == loose.value
    assert ("", False) == (loose.doubt, loose.cut)


@pytest.mark.parametrize("text", ['{"a": "b', '{"a": ["b"', '{"a": 1, "b', '{"a": tru', '{"a": {"b": 1}'])
def test_a_missing_tail_is_noticed(text: str) -> None:
    assert read_value(text).cut


@pytest.mark.parametrize(
    "text", ['{"a": "b" "c"}', "{'a': 'it's'}", '{"a" "b"}', "{a=b}", "", "word", "[" * 100, '{"a": 1_0}']
)
def test_what_has_no_reading_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read_value(text)


def test_a_changing_tool_is_not_meant_by_a_name_two_letters_off() -> None:
    assert "write_file" == name_meant("write_fil")
    assert "" == name_meant("write_line")
    assert "read_file" == name_meant("reed_fil")


def test_an_alias_needs_its_tool() -> None:
    assert "" == name_meant("bash", [spec for spec in TOOLS if spec.name != "run_command"])


def test_without_tools_every_call_is_refused() -> None:
    assert Native().read(Reply(calls=(RawCall(name="read_file", arguments={}),)), ()).complaint


def name_meant(name: str, tools: Any = TOOLS) -> str:
    spec = meant_by(name, {}, tools).spec
    return spec.name if spec else ""


def spec_of(name: str) -> ToolSpec:
    return next(spec for spec in TOOLS if spec.name == name)
