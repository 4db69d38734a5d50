"""The part of a model, played honestly: it looks, edits, runs the tests, reads why they fail, mends it, and finishes.

It knows the demonstration's own tasks, those of its goal, what the hub asks about that (`planner`) and the trial of the
sidecar (`trial`), and says so of everything else. It has no way to the tree but the real tools: what it edits is what
it was shown, and it stops because the tests passed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence

from apps.demo import planner, trial, wish
from apps.demo.acting import Act, Acting, Seen, next_act, seen_in, text_of
from apps.demo.ollama import Answer, Asked
from apps.demo.wish import Piece

COMMAND = re.compile(r"^- (?:the tests: )?`(.+)`$", re.MULTILINE)
STRANGER = (
    "I am no model, only a player of the demonstration's own tasks, and this is none of them. "
    "Join a machine with an Ollama, and a real model will do it."
)


def play(asked: Asked) -> Answer:
    """The next answer in the talk that `asked` holds; the whole of it is gone through anew each time."""
    first = next(str(message["content"]) for message in asked.messages if message["role"] == "user")
    if said := planner.thought(first):
        return Answer(text=said, piece=200)
    observed = seen_in(asked.messages)
    if acts := trial.passed(first, observed):
        return _answer(acts)
    part = next((part for title, part in PARTS.items() if title in first), stranger)
    return _answer([next_act(part(first), observed)])


def _answer(acts: Sequence[Act]) -> Answer:
    text = " ".join(act.words for act in acts if act.words)
    return Answer(text=text, calls=[{"name": act.tool, "arguments": dict(act.arguments)} for act in acts], pause=0.01)


# --- the tasks of the demonstration -----------------------------------------------------------------------------------


def apostrophes(task: str) -> Acting:
    """Capitals after an apostrophe. The mend shows a test that was marked as failing; then that has to go as well."""
    found = yield Act("search_files", {"pattern": "word\\.title\\(\\)"}, "Where do words get their capitals?")
    path = _path(found)
    seen = yield Act("read_file", {"path": path})
    line = _line_with(seen, "word.title()")
    mended = line.replace("word.title()", "word.capitalize()")
    edited = yield Act(
        "edit_file",
        {"path": path, "old": line, "new": mended},
        "str.title() makes a capital after every apostrophe; capitalize() only makes the first.",
    )
    ran = yield from _run(task, edited)
    if ran.get("exit_code") and "unexpected success" in str(ran.get("output", "")):
        ran = yield from _unmark(task, str(ran["output"]))
    return _farewell(ran, f"title() in {path} capitalises the first letter only, and the test of it counts now.")


def sentences(task: str) -> Acting:
    """A new function with tests of its own; the first idea miscounts, and its test says so."""
    seen = yield Act("read_file", {"path": "textkit/counting.py"}, "How does its neighbour count words?")
    last = text_of(seen).rstrip().splitlines()[-1]
    added = (
        f'{last}\n\n\ndef count_sentences(text):\n    """How many sentences `text` has."""\n'
        '    return len(re.findall(r"[.!?]", text))'
    )
    yield Act("edit_file", {"path": "textkit/counting.py", "old": last, "new": added}, "Count what ends a sentence.")
    made = yield Act("write_file", {"path": "tests/test_sentences.py", "content": SENTENCES})
    ran = yield from _run(task, made)
    if ran.get("exit_code"):
        mended = 'return len(re.findall(r"[.!?]+(?=\\s|$)", text))'
        edited = yield Act(
            "edit_file",
            {"path": "textkit/counting.py", "old": 'return len(re.findall(r"[.!?]", text))', "new": mended},
            "Three dots are one end, and a dot inside a number is none.",
        )
        ran = yield from _run(task, edited)
    return _farewell(ran, "count_sentences() is in textkit/counting.py, with tests in tests/test_sentences.py.")


SENTENCES = """import unittest

from textkit.counting import count_sentences


class Sentences(unittest.TestCase):
    def test_each_end_counts(self):
        self.assertEqual(3, count_sentences("Really? Yes! Good."))

    def test_three_dots_are_one_end(self):
        self.assertEqual(1, count_sentences("Well..."))

    def test_a_dot_in_a_number_is_none(self):
        self.assertEqual(1, count_sentences("It costs 2.50 a piece."))

    def test_nothing_has_none(self):
        self.assertEqual(0, count_sentences(""))


if __name__ == "__main__":
    unittest.main()
"""


def slice_of_the_goal(piece: Piece) -> Callable[[str], Acting]:
    """A slice of the goal, the test first."""

    def part(task: str) -> Acting:
        yield Act("read_file", {"path": piece.reads}, "How is it done beside this?")
        yield Act("write_file", {"path": piece.test_path, "content": piece.test}, "The test first; it has to fail now.")
        made = yield Act("write_file", {"path": piece.path, "content": piece.code})
        if piece.changes:
            path, old, new = piece.changes
            yield Act("read_file", {"path": path})
            made = yield Act("edit_file", {"path": path, "old": old, "new": new})
        ran = yield from _run(task, made)
        return _farewell(ran, f"{piece.title}: it is in {piece.path}, with tests in {piece.test_path}.")

    return part


def stranger(_task: str) -> Acting:
    """Not one of ours."""
    yield from ()
    return STRANGER


PARTS: Mapping[str, Callable[[str], Acting]] = {
    "# Mend capitals after apostrophes": apostrophes,
    "# Count sentences": sentences,
    **{f"# {piece.title}": slice_of_the_goal(piece) for piece in wish.PIECES},
}


def _run(task: str, changed: Seen) -> Generator[Act, Seen, Seen]:
    """What the checks say now: the change's own observation may hold it, or they are run."""
    verified = changed.get("verify")
    if isinstance(verified, dict) and "exit_code" in verified:
        return verified
    found = COMMAND.search(task)
    return (yield Act("run_command", {"command": found[1] if found else "python3 -m unittest discover -s tests -t ."}))


def _unmark(task: str, output: str) -> Generator[Act, Seen, Seen]:
    """A test that is expected to fail and does not: the mark goes."""
    test, module = re.findall(r"UNEXPECTED SUCCESS: (\w+) \(([\w.]+?)\.[A-Z]", output)[0]
    path = f"{module.replace('.', '/')}.py"
    seen = yield Act("read_file", {"path": path}, "A test that was expected to fail passes now; its mark has to go.")
    lines = text_of(seen).split("\n")
    place = next(number for number, line in enumerate(lines) if f"def {test}(" in line)
    marked = "\n".join(lines[place - 1 : place + 1])
    edited = yield Act("edit_file", {"path": path, "old": marked, "new": lines[place]})
    return (yield from _run(task, edited))


def _farewell(ran: Seen, done: str) -> str:
    return done if not ran.get("exit_code") else f"I could not make the checks pass: {str(ran.get('output'))[-300:]}"


def _path(found: Seen) -> str:
    """Where the first match of a search is."""
    matches = [str(match) for match in found.get("matches", [])]
    return matches[0].split(":", 1)[0] if matches else ""


def _line_with(seen: Seen, *words: str) -> str:
    lines = text_of(seen).split("\n")
    return next((line for line in lines if all(word in line for word in words)), words[0])
