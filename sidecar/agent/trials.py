"""The twelve requests of a model's trial, and what a good answer to each is. Nothing of it is carried out. (pure)

Each asks for something else that the loop relies on: arguments that arrive as they were meant (numbers, one left out,
quotes and newlines, what is nested or beyond ASCII, indentation), a tool chosen for words, two calls at once, a call
made out of what was seen, and the four moments that decide a run: an error, a complaint, a check that passes and one
that does not. All seven tools are called for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.agent.dialects.base import Dialect
from sidecar.agent.talk import Call, Observed, RawCall, Reply, Said, Told, Turn
from sidecar.agent.tools.specs import SPECS

Judge = Callable[[Sequence[Call]], str]
"""What is wrong with the calls of an answer, in words; empty when they are good."""

ONE_BY_ONE = "made them one by one"
"""No fault, since the loop asks again; but each costs an answer of its own."""

NUMBERS = {"path": "notes/to do.txt", "start": 3, "count": 7}
COMMAND = {"command": 'grep -c "it\'s\\b" notes/*.txt | sort -t: -k2 > "$HOME/count"'}
QUOTES = {"path": "greet.py", "content": 'print("hello \\"you\\"")\nprint(\'\\\\n\')\n'}
NESTED = {
    "path": "menü.json",
    "content": '{"gericht": "Crème brûlée", "zutaten": [{"名前": "卵", "n": 2}], "note": "\\"très\\" 🍮"}\n',
}
INDENTED = {
    "path": "app/rates.py",
    "old": "    if rate:\n        return total\n",
    "new": "    if rate is not None:\n        return total * rate\n",
}
PAIR: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("list_directory", {"path": "src"}),
    ("read_file", {"path": "README.md"}),
)
TASK = "Mend {name}() in {file}; the check is `python3 -m unittest`. When it is done, say how many tests ran."
WHERE = "Where is the function total defined? Search the files for it, then read the file that it is in."
MISSED = "In calc.py, replace the line that returns a-b by one that returns a + b."
LINES = "Read the lines 5 to 9 of notes.txt."


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One request and how its answer is judged. `remark` is what there is to say of an answer that is good."""

    name: str
    turns: Sequence[Turn]
    wrong: Judge
    remark: Judge = lambda _calls: ""


def trials(dialect: Dialect) -> list[Trial]:
    """All twelve, the plainest first. What a model is told of a broken call is in the words of `dialect`."""
    return [
        _exact("numbers", "read_file", NUMBERS),
        _exact("an argument left out", "run_command", COMMAND),
        _exact("quotes and newlines", "write_file", QUOTES),
        _exact("nested, beyond ASCII", "write_file", NESTED),
        _exact("indentation", "edit_file", INDENTED),
        Trial(name="a tool for words", turns=[Told(text=WHERE)], wrong=_searches),
        _two_calls(),
        _after_an_observation(),
        _after_an_error(),
        _after_a_complaint(dialect),
        _checked("a check that fails", "multiply", 1, "FAIL: test_multiply\nAssertionError: 6 != 5", _goes_on),
        _checked("a check that passes", "add", 0, "Ran 17 tests in 0.004s\n\nOK", _stops),
    ]


def called(calls: Sequence[Call]) -> str:
    """What an answer did, in words."""
    return f"called {', '.join(call.name for call in calls)}" if calls else "no call"


# --- calls as they are asked for --------------------------------------------------------------------------------------


def _exact(name: str, tool: str, arguments: Mapping[str, Any]) -> Trial:
    told = Told(text=f"{_words(tool, arguments)}\nMake this one call, exactly, and nothing else.")
    return Trial(name=name, turns=[told], wrong=lambda calls: _differs(calls, [(tool, arguments)]))


def _words(tool: str, arguments: Mapping[str, Any]) -> str:
    return f"Call {tool} with these arguments: {json.dumps(arguments, ensure_ascii=False)}"


def _differs(calls: Sequence[Call], wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """In what the calls are not those that were wanted."""
    if [call.name for call in calls] != [name for name, _ in wanted]:
        return called(calls)
    for call, (name, arguments) in zip(calls, wanted, strict=True):
        for argument in dict.fromkeys([*arguments, *call.arguments]):
            if argument not in arguments:
                return f"{name} with {argument}, which nobody asked for"
            if call.arguments.get(argument) != arguments[argument]:
                return f"{name} with another {argument}"
    return ""


def _two_calls() -> Trial:
    words = "\n".join(_words(tool, arguments) for tool, arguments in PAIR)
    return Trial(
        name="two calls",
        turns=[Told(text=f"{words}\nMake both calls at once.")],
        wrong=lambda calls: _differs(calls, PAIR[: max(1, len(calls))]),
        remark=lambda calls: ONE_BY_ONE if len(calls) == 1 else "",
    )


# --- calls as they follow from what was seen --------------------------------------------------------------------------


def _searches(calls: Sequence[Call]) -> str:
    if [call.name for call in calls] != ["search_files"]:
        return called(calls)
    return "" if "total" in calls[0].arguments["pattern"] else "searched for something else"


def _after_an_observation() -> Trial:
    """The path is known from the observation alone."""
    search = Call(name="search_files", arguments={"pattern": "def total"}, id="call_1")
    seen = {"matches": ["src/billing/sums.py:12: def total(items):"]}
    return Trial(
        name="a call after an observation",
        turns=[Told(text=WHERE), *_made(search, seen)],
        wrong=lambda calls: _reads("src/billing/sums.py", calls),
    )


def _after_an_error() -> Trial:
    """The commonest failure of a real run: an edit that does not fit. The same again is no recovery."""
    missed = Call(
        name="edit_file", arguments={"path": "calc.py", "old": "return a-b\n", "new": "return a + b\n"}, id="call_1"
    )
    error = "old does not occur in calc.py: copy it from the file, without line numbers."
    seen = {"error": error, "closest": "1\tdef add(a, b):\n2\t    return a - b"}
    return Trial(name="an error", turns=[Told(text=MISSED), *_made(missed, seen)], wrong=_recovers)


def _recovers(calls: Sequence[Call]) -> str:
    if [call.name for call in calls] == ["edit_file"]:
        given = calls[0].arguments
        fits = str(given["old"]).strip("\n") in "def add(a, b):\n    return a - b" and "a + b" in given["new"]
        return "" if given["path"] == "calc.py" and given["old"].strip() and fits else "made an edit that does not fit"
    return _reads("calc.py", calls)


def _reads(path: str, calls: Sequence[Call]) -> str:
    if [call.name for call in calls] != ["read_file"]:
        return called(calls)
    return "" if calls[0].arguments["path"].removeprefix("./") == path else "read another file"


def _after_a_complaint(dialect: Dialect) -> Trial:
    """As in a run: a call that lacks its path was not carried out, and the model is told so."""
    broken = Reply(calls=(RawCall(name="read_file", arguments={"start": 5, "count": 5}),))
    complaint = dialect.read(broken, SPECS).complaint
    return Trial(
        name="a complaint",
        turns=[Told(text=LINES), Said(reply=broken), Told(text=complaint)],
        wrong=lambda calls: _reads("notes.txt", calls),
    )


def _checked(name: str, function: str, exit_code: int, output: str, wrong: Judge) -> Trial:
    """An edit has just been made, and its observation says what the check says now."""
    file = f"{function}.py"
    edit = Call(name="edit_file", arguments={"path": file, "old": "return a - b", "new": "return a + b"}, id="call_1")
    seen = {
        "path": file,
        "line": 2,
        "text": f"1\tdef {function}(a, b):\n2\t    return a + b",
        "verify": {"command": "python3 -m unittest", "exit_code": exit_code, "output": output},
    }
    return Trial(name=name, turns=[Told(text=TASK.format(name=function, file=file)), *_made(edit, seen)], wrong=wrong)


def _goes_on(calls: Sequence[Call]) -> str:
    """Whatever it does next, it is not done."""
    return called(calls) if not calls or any(call.name == "finish_task" for call in calls) else ""


def _stops(calls: Sequence[Call]) -> str:
    if [call.name for call in calls] != ["finish_task"]:
        return called(calls)
    told = calls[0].arguments["summary"].casefold()
    return "" if "17" in told or "seventeen" in told else "did not say what it had seen"


def _made(call: Call, seen: Mapping[str, Any]) -> list[Turn]:
    return [Said(reply=Reply(text=""), calls=(call,)), Observed(call=call, text=json.dumps(seen, ensure_ascii=False))]
