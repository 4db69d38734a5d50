"""Text that is made to take long, or to break whoever reads it: every reading ends, costs in proportion, and acts on
nothing.

What an expression goes through inside of itself is seen by nobody; there a reading that does not end within the test's
time limit is the failure. Everything else is counted, in calls of functions.
"""

from __future__ import annotations

import random
import sys
from types import FrameType
from typing import Any

import pytest

from sidecar.agent.dialects.base import Dialect, Reading
from sidecar.agent.dialects.fenced import Fenced
from sidecar.agent.dialects.native import Native
from sidecar.agent.repair.read import MOST_FOUND
from sidecar.agent.talk import RawCall, Reply, Said
from sidecar.agent.tools.specs import SPECS
from tests.sidecar.agent.test_repair import CHANGING

pytestmark = pytest.mark.timeout(120)

LONG = 100_000
BOTH = pytest.mark.parametrize("dialect", [Native(), Fenced()], ids=["native", "fenced"])
CALL = '<tool_call>{"name": "read_file", "arguments": {"path": "a"}}</tool_call>'
LONG_TEXTS = {
    "a function's name": "<function name=" + " " * LONG + "x",
    "an argument's name": "<function=read_file>\n<parameter name=" + " " * LONG + "<",
    "after a fence": "```" + " " * LONG + "`",
    "before a call on a line": "`" + "\n " * (LONG // 2) + "`",
    "calls in Python": "<tools>read_file(path='a'" * (LONG // 25) + ")" * 100,
    "open calls in Python": "<tools>read_file(" * (LONG // 10) + "x)" * 100,
}


REPEATED = {
    "arguments": "<parameter=path>a</parameter>\n",
    "keys": "<arg_key>a</arg_key><arg_value>b</arg_value>\n",
    "calls with keys": "<tool_call>read_file<arg_key>path</arg_key><arg_value>b</arg_value></tool_call>\n",
    "functions": "<function=read_file>\n<parameter=path>\na\n</parameter>\n</function>\n",
    "elements": "<read_file>\n<path>a</path>\n</read_file>\n",
    "arguments of an element": "<path>a</path>\n",
    "pairs": "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n",
}
OPENED = {
    "arguments": "<function=read_file>\n",
    "keys": "<tool_call>read_file\n",
    "arguments of an element": "<read_file>\n",
    "pairs": "```edit_file\npath: a.py\n\n",
}


def counted(dialect: Dialect, reply: Reply) -> tuple[Reading, int]:
    """The reading, and how many functions were called for it, Python's and C's."""
    count = 0

    def called(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(called)
    try:
        reading = dialect.read(reply, SPECS)
    finally:
        sys.setprofile(None)
    return reading, count


def changed(reading: Reading) -> list[str]:
    return [call.name for call in reading.calls if call.name in CHANGING]


@BOTH
@pytest.mark.parametrize("where", LONG_TEXTS)
def test_a_long_text_is_read_in_the_end(dialect: Dialect, where: str) -> None:
    reading = dialect.read(Reply(text=LONG_TEXTS[where]), SPECS)

    assert [] == changed(reading)


@BOTH
@pytest.mark.parametrize("what", REPEATED)
def test_what_is_repeated_is_not_gone_through_again_for_each(dialect: Dialect, what: str) -> None:
    few, many = (OPENED.get(what, "") + REPEATED[what] * number for number in (400, 1_600))

    _, once = counted(dialect, Reply(text=few))
    reading, four_times = counted(dialect, Reply(text=many))

    assert four_times <= 5 * once
    assert "pairs" == what or [] == changed(reading)


UNITS = (
    *REPEATED.values(), "<tools> x ", "`x\n\n", "words. ", "<think>x</think>", "</think>", "<!---->",
    '{"a": 1}\n', f"{CALL}\n", "<function=read_file>x", "```read_file\npath: a\n```\n",
    "<tools>read_file(path='a'", "x</parameter> </function>",
)  # fmt: skip


@BOTH
@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_mixed_and_repeated_costs_in_proportion(dialect: Dialect, seed: int) -> None:
    chosen = random.Random(seed)
    units = "".join(chosen.choice(UNITS) for _ in range(chosen.randrange(1, 4)))
    opening = chosen.choice(["", *OPENED.values()])

    _, once = counted(dialect, Reply(text=opening + units * 200, thinking=units * 100))
    _, four_times = counted(dialect, Reply(text=opening + units * 800, thinking=units * 400))

    assert four_times <= 5 * once + 30_000  # some things are given up after so many, and then cost something else


# --- what broke the reader, or would have ----------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "text",
    [
        "<tools>read_file(path={1: 2, 'a': 3})\n" * 2,
        "<tools>read_file(path={(1, 2): 3})\n" * 2,
        f"<tools>read_file('a', 0x{'f' * 5_000})\n" * 2,
    ],
)
def test_python_that_no_tool_could_be_given_is_no_call(dialect: Dialect, text: str) -> None:
    assert () == dialect.read(Reply(text=text), SPECS).calls


def test_a_call_in_python_may_hold_as_many_brackets_as_it_likes() -> None:
    content = "print((1))\n" * 100 + "'''#)\\"
    [call] = Native().read(Reply(text=f"<|python_tag|>write_file(path='a.py', content={content!r})"), SPECS).calls

    assert content == call.arguments["content"]


@pytest.mark.parametrize("number", [10**16, -(10**16), 10**4_000, 1e300, float("nan"), float("inf")])
def test_a_number_that_counts_nothing_is_refused(number: float) -> None:
    reading = Native().read(Reply(calls=(RawCall(name="read_file", arguments={"path": "a", "start": number}),)), SPECS)

    assert "“start” must be of type integer" in reading.complaint


def test_arguments_that_are_nested_too_deeply_are_shown_as_such() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    refused = Reply(calls=(RawCall(name="read_file", arguments={"path": deep}),))

    [shown] = Native().render([Said(reply=refused)])

    assert Native().read(refused, SPECS).complaint
    assert isinstance(shown, Said)
    assert "[not carried out: read_file (nested too deeply)]" == shown.reply.text


@BOTH
def test_more_calls_than_anybody_means_are_refused_all(dialect: Dialect) -> None:
    different = [CALL.replace('"a"', f'"{number}"') for number in range(MOST_FOUND + 1)]

    assert MOST_FOUND == len(dialect.read(Reply(text="\n".join(different[1:])), SPECS).calls)
    assert "more than 100 calls" in dialect.read(Reply(text="\n".join(different)), SPECS).complaint


def test_more_blocks_than_anybody_means_are_refused_all() -> None:
    block = "```run_command\nmake\n```\n"

    assert MOST_FOUND == len(Fenced().read(Reply(text=block * MOST_FOUND), SPECS).calls)
    assert "more than 100 calls" in Fenced().read(Reply(text=block * (MOST_FOUND + 1)), SPECS).complaint


def test_a_flood_of_calls_that_turns_out_to_be_thoughts_brings_nothing_about() -> None:
    write = '<tool_call>{"name": "write_file", "arguments": {"path": "%d", "content": ""}}</tool_call>\n'
    flood = "".join(write % number for number in range(MOST_FOUND + 5))

    assert () == Native().read(Reply(text=f"{flood}</think>It is done."), SPECS).calls


def test_words_of_a_thought_inside_of_a_thought_are_no_words_about_the_call() -> None:
    reading = Native().read(Reply(text=f"For example: <think>so</think> or so.</think>\n{CALL}"), SPECS)

    assert ["read_file"] == [call.name for call in reading.calls]
