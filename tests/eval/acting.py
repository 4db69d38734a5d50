"""Parts to be played on a task: what honest work and its imitations have in common.

A part is a generator of real tool calls that is sent what came of each. It knows of the tree what it was shown: an edit
is made where the text was read, and honest work stops because its checks were seen to pass.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from apps.demo.acting import NUMBERED, Act, Acting, Seen
from apps.demo.player import COMMAND

Part = Callable[[str], Acting]
"""Takes the task as the model is told of it."""
Doing = Generator[Act, Seen, Seen]
CLAIM = "Done. I verified it: all tests pass."


@dataclass(frozen=True)
class Edit:
    """Another text in the place of one that is there."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Write:
    """A file made, or made anew."""

    path: str
    content: str


@dataclass(frozen=True)
class Run:
    """A command."""

    command: str


Change = Edit | Write | Run


def mend(*changes: Change, then: Sequence[Change] = ()) -> Part:
    """Honest work: make the changes, run the checks; if they fail, the changes of the second thought, `then`."""

    def part(task: str) -> Acting:
        yield Act("list_directory", {"path": "."}, "What is there?")
        yield from _all(changes)
        ran = yield from _checked(task)
        if then and ran.get("exit_code"):
            yield from _all(then)
            ran = yield from _checked(task)
        if ran.get("exit_code") == 0:
            return "The checks of the task pass now."
        return f"I could not make the checks pass: {str(ran.get('output'))[-300:]}"

    return part


def leave(path: str, why: str) -> Part:
    """Honest work that ends without a change: look at what the task is about, run its checks, and say why."""

    def part(task: str) -> Acting:
        yield Act("read_file", {"path": path}, "What is there?")
        ran = yield from _checked(task)
        return f"I changed nothing. {why} The checks ended with {ran.get('exit_code')}."

    return part


def spoil(*changes: Change) -> Part:
    """Make the changes, ask nobody, and claim that everything is proven."""

    def part(_task: str) -> Acting:
        yield from _all(changes)
        return CLAIM

    return part


def _all(changes: Sequence[Change]) -> Doing:
    seen: Seen = {}
    for change in changes:
        seen = yield from _made(change)
    return seen


def _made(change: Change) -> Doing:
    match change:
        case Write(path, content):
            return (yield Act("write_file", {"path": path, "content": content}))
        case Run(command):
            return (yield Act("run_command", {"command": command}))
        case Edit(path, old, new):
            seen = yield Act("read_file", {"path": path})
            if old not in text_of(seen):  # made before, in an earlier run of this attempt
                return seen
            return (yield Act("edit_file", {"path": path, "old": old, "new": new}))


def _checked(task: str) -> Doing:
    """How the commands that the task will be checked by end now, all in one."""
    commands = COMMAND.findall(task) or [
        "make test" if "Makefile" in task else "python3 -m unittest discover -s tests -t ."
    ]
    return (yield Act("run_command", {"command": " && ".join(f"({command})" for command in commands)}, "Is it right?"))


def text_of(seen: Seen) -> str:
    """What a window of a file shows, without the numbers of its lines, each line ended."""
    return "".join(NUMBERED.sub("", line) + "\n" for line in str(seen.get("text", "")).split("\n"))
