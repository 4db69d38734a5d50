"""The goal of the demonstration: what a person asks for, and the plan and the work that its player answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.demo.errands import NO_SECRETS, SUITE, tests

TITLE = "Say how hard a text is to read"
DESCRIPTION = "Long words and long sentences make a text hard. One number shall say how hard, as a grade at school."
CRITERIA = (
    "`count_syllables(word)` says how many syllables a word has, with tests",
    "`words_per_sentence(text)` says how long the sentences are, with tests",
    "`reading_grade(text)` makes one number of both, with tests, and README.md names it",
)


def submission(repo: str) -> dict[str, Any]:
    """The body of `POST /api/goals`."""
    return {
        "title": TITLE,
        "description": DESCRIPTION,
        "repo": repo,
        "success_criteria": list(CRITERIA),
        "verification_steps": [SUITE, NO_SECRETS],
        "priority": "high",
        "idempotency_key": "demo-goal",
    }


@dataclass(frozen=True)
class Piece:
    """A slice as the player plans it, and the files that it writes: the test first, which fails, then the code."""

    title: str
    description: str
    criterion: str
    module: str
    code: str
    test: str
    reads: str
    after: tuple[int, ...] = ()
    changes: tuple[str, str, str] | None = None

    @property
    def path(self) -> str:
        return f"textkit/{self.module}.py"

    @property
    def test_path(self) -> str:
        return f"tests/test_{self.module}.py"

    def planned(self) -> Mapping[str, Any]:
        """As the answer of a planner has it."""
        return {
            "title": self.title,
            "description": self.description,
            "success_criteria": [self.criterion],
            "files": [self.reads, *([self.changes[0]] if self.changes else [])],
            "new_files": [self.path, self.test_path],
            "checks": [{"type": check["type"], "target": check["target"]} for check in (tests(f"test_{self.module}"),)],
            "after": list(self.after),
            "tier": "standard",
        }


def _test(name: str, module: str, *lines: str) -> str:
    body = "\n".join(f"        {line}" for line in lines)
    return (
        f"import unittest\n\nfrom textkit.{module} import {name}\n\n\nclass It(unittest.TestCase):\n"
        f'    def test_{name}(self):\n{body}\n\n\nif __name__ == "__main__":\n    unittest.main()\n'
    )


SYLLABLES = '''"""How words are spoken."""

import re

VOWELS = re.compile(r"[aeiouy]+")


def count_syllables(word):
    """How many syllables `word` has, by its vowels; at least one."""
    word = word.lower()
    silent = word.endswith("e") and not word.endswith("le")
    return max(1, len(VOWELS.findall(word)) - silent)
'''
SENTENCES = '''"""How long sentences are."""

import re

from textkit.counting import count_words

END = re.compile(r"[.!?]+(?=\\s|$)")


def words_per_sentence(text):
    """How many words a sentence of `text` has on average; 0 without any."""
    sentences = [sentence for sentence in END.split(text) if sentence.strip()]
    return count_words(text) / len(sentences) if sentences else 0
'''
GRADE = '''"""How hard a text is."""

from textkit.counting import WORD
from textkit.pace import words_per_sentence
from textkit.syllables import count_syllables


def reading_grade(text):
    """The grade at school in which `text` is read with ease, after Flesch and Kincaid; 0 without any words."""
    words = WORD.findall(text)
    if not words:
        return 0
    syllables = sum(map(count_syllables, words)) / len(words)
    return 0.39 * words_per_sentence(text) + 11.8 * syllables - 15.59
'''

PIECES = (
    Piece(
        title="Count syllables",
        description="Add count_syllables(word) to textkit/syllables.py: groups of vowels, without a silent e.",
        criterion="count_syllables() is right about sea, little and syllable",
        module="syllables",
        code=SYLLABLES,
        test=_test(
            "count_syllables",
            "syllables",
            'self.assertEqual([1, 2, 3], [count_syllables(word) for word in ("sea", "little", "syllable")])',
            'self.assertEqual(1, count_syllables("there"))',
        ),
        reads="textkit/counting.py",
    ),
    Piece(
        title="Measure how long sentences are",
        description="Add words_per_sentence(text) to textkit/pace.py. A dot in a number ends no sentence.",
        criterion="words_per_sentence() is right about two sentences of two words each, and about a dot in a number",
        module="pace",
        code=SENTENCES,
        test=_test(
            "words_per_sentence",
            "pace",
            'self.assertEqual(2, words_per_sentence("Stay here. Go now!"))',
            'self.assertEqual(3, words_per_sentence("It costs 2.50 now."))',
            'self.assertEqual(0, words_per_sentence(""))',
        ),
        reads="textkit/counting.py",
    ),
    Piece(
        title="Grade a text by both",
        description=(
            "Add reading_grade(text) to textkit/reading.py, from count_syllables() and words_per_sentence(), "
            "and name it in the first paragraph of README.md."
        ),
        criterion="reading_grade() gives a hard text a higher grade than an easy one",
        module="reading",
        code=GRADE,
        test=_test(
            "reading_grade",
            "reading",
            'easy, hard = "The cat sat. The dog ran.", "Organisational considerations necessitate deliberation."',
            "self.assertLess(reading_grade(easy), reading_grade(hard))",
            'self.assertEqual(0, reading_grade(""))',
        ),
        reads="textkit/counting.py",
        after=(1, 2),
        changes=(
            "README.md",
            "titles. No dependencies.",
            "titles,\nhow hard a text is (`reading_grade`). No dependencies.",
        ),
    ),
)
